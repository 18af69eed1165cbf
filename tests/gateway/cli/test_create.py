"""create: Modelfiles, uploads and the request, against a scripted server."""

import hashlib
import io
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from gateway.cli.console import Console
from gateway.cli.create import (
    find_sources,
    gguf_files,
    local_path,
    read_chunks,
    read_modelfile,
    required_files,
    upload_names,
)
from gateway.errors import GatewayError, Invalid
from gateway.modelfile import parse
from tests.gateway.cli.conftest import Cli, Exchange, ScriptedServer, StartCommand

SUCCESS = {"status": "success"}
DATA = b"GGUF" + bytes(range(256)) * 5000
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "m.gguf"
    path.write_bytes(DATA)
    return path


def modelfile(folder: Path, text: str) -> str:
    path = folder / "Modelfile"
    path.write_text(text)
    return str(path)


def test_a_model_from_another_one_needs_one_call(
    cli: Cli, server: ScriptedServer, tmp_path: Path
) -> None:
    server.stream("/api/create", {"status": "writing manifest"}, SUCCESS)
    path = modelfile(
        tmp_path,
        "FROM base\nSYSTEM be kind\nTEMPLATE {{ .Prompt }}\nLICENSE a\nLICENSE b\n"
        "PARAMETER stop x\nPARAMETER temperature 0.7\nMESSAGE user hi\nREQUIRES v0.14\n"
        "PARAMETER mirostat 1\nRENDERER r\nPARSER p",
    )
    outcome = cli("create", "new", "-f", path)
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err == (
        "warning: parameter mirostat is deprecated\n"
        "gathering model components\nwriting manifest\nsuccess\n"
    )
    assert server.calls() == ["POST /api/create"]
    assert server.last("/api/create") == {
        "model": "new",
        "from": "base",
        "system": "be kind",
        "template": "{{ .Prompt }}",
        "license": ["a", "b"],
        "parameters": {"stop": ["x"], "temperature": 0.7},
        "messages": [{"role": "user", "content": "hi"}],
        "requires": "0.14",
        "renderer": "r",
        "parser": "p",
    }


def test_a_file_is_uploaded_before_the_model_is_made(
    cli: Cli, server: ScriptedServer, weights: Path
) -> None:
    server.reply("POST", f"/api/blobs/{DIGEST}", status=201)
    server.stream(
        "/api/create",
        {"status": "parsing GGUF"},
        {"status": "validating GGUF model", "digest": "0", "total": 10, "completed": 5},
        {"status": "validating GGUF model", "digest": "0", "total": 10, "completed": 10},
        SUCCESS,
    )
    path = modelfile(weights.parent, "FROM ./m.gguf")
    outcome = cli("create", "new", "-f", path, "-q", "q4_K_M")
    assert outcome.code == 0
    assert outcome.err.splitlines() == [
        "gathering model components",
        f"copying file {DIGEST[:19]} 100% 1.3 MB",
        "parsing GGUF",
        "validating GGUF model 100% 10 B",
        "success",
    ]
    blob = f"/api/blobs/{DIGEST}"
    assert server.calls() == [f"HEAD {blob}", f"POST {blob}", "POST /api/create"]
    upload = next(item for item in server.requests if item.path == blob and item.body)
    assert upload.body == DATA
    assert server.last("/api/create") == {
        "model": "new",
        "files": {"m.gguf": DIGEST},
        "quantize": "q4_K_M",
    }


def test_a_blob_the_server_has_is_not_sent_again(
    cli: Cli, server: ScriptedServer, weights: Path
) -> None:
    server.reply("HEAD", f"/api/blobs/{DIGEST}")
    server.stream("/api/create", SUCCESS)
    assert cli("create", "new", "-f", modelfile(weights.parent, "FROM m.gguf")).code == 0
    assert server.calls() == [f"HEAD /api/blobs/{DIGEST}", "POST /api/create"]


def test_files_adapter_and_draft_have_their_members(
    cli: Cli, server: ScriptedServer, weights: Path
) -> None:
    digests = {}
    for name in ("projector", "adapter", "draft"):
        data = b"GGUF" + name.encode()
        (weights.parent / f"{name}.gguf").write_bytes(data)
        digests[name] = f"sha256:{hashlib.sha256(data).hexdigest()}"
        server.reply("HEAD", f"/api/blobs/{digests[name]}")
    server.reply("HEAD", f"/api/blobs/{DIGEST}")
    server.stream("/api/create", SUCCESS)
    text = "FROM m.gguf\nFROM projector.gguf\nADAPTER adapter.gguf\nDRAFT ./draft.gguf"
    path = modelfile(weights.parent, text)
    assert cli("create", "new", "-f", path, "--draft-quantize", "q8_0").code == 0
    assert server.last("/api/create") == {
        "model": "new",
        "files": {"m.gguf": DIGEST, "projector.gguf": digests["projector"]},
        "adapters": {"adapter.gguf": digests["adapter"]},
        "draft_files": {"draft.gguf": digests["draft"]},
        "draft_quantize": "q8_0",
    }


def test_a_modelfile_may_come_from_standard_input(cli: Cli, server: ScriptedServer) -> None:
    server.stream("/api/create", SUCCESS)
    outcome = cli("create", "new", "-f", "-", stdin=b"\xef\xbb\xbfFROM base\r\n")
    assert outcome.code == 0
    assert server.last("/api/create") == {"model": "new", "from": "base"}


def test_a_folder_without_a_modelfile_is_its_own_source(
    start_command: StartCommand, server: ScriptedServer, weights: Path
) -> None:
    server.reply("HEAD", f"/api/blobs/{DIGEST}")
    server.stream("/api/create", SUCCESS)
    start = (
        "import os, sys; from gateway.cli import main; os.chdir(sys.argv.pop()); sys.exit(main())"
    )
    process = start_command("create", "new", str(weights.parent), start=start)
    assert process.wait(20) == 0
    assert server.last("/api/create")["files"] == {"m.gguf": DIGEST}


@pytest.mark.parametrize(
    ("argv", "text", "message"),
    [
        (("a b",), "FROM x", "invalid model name: a b"),
        (("new",), "SYSTEM x", "no FROM line"),
        (("new",), "FROM x\nPARAMETER nope 1", "unknown parameter 'nope'"),
        (("new",), "FROM x\nREQUIRES soon", "requires must be a valid semver (e.g. 0.14.0)"),
        (("new",), "FROM x\nADAPTER a.gguf", "a.gguf: no such file or directory"),
        (("new", "--draft-quantize", "q8_0"), "FROM x", "--draft-quantize requires a DRAFT model"),
    ],
)
def test_a_mistake_ends_it_before_anything_is_sent(
    cli: Cli, server: ScriptedServer, argv: tuple[str, ...], text: str, message: str
) -> None:
    outcome = cli("create", *argv, "-f", "-", stdin=text.encode())
    assert (outcome.code, outcome.out, outcome.err) == (1, "", f"Error: {message}\n")
    assert server.calls() == []


def test_a_missing_modelfile_that_was_named_is_an_error(cli: Cli, tmp_path: Path) -> None:
    outcome = cli("create", "new", "-f", str(tmp_path / "none"))
    assert (outcome.code, outcome.err) == (1, "Error: specified Modelfile wasn't found\n")


def test_an_error_of_the_server_comes_after_what_was_done(cli: Cli, server: ScriptedServer) -> None:
    server.stream("/api/create", {"status": "parsing GGUF"}, {"error": "invalid file magic"})
    outcome = cli("create", "new", "-f", "-", stdin=b"FROM base")
    assert outcome.code == 1
    assert outcome.err == ("gathering model components\nparsing GGUF\nError: invalid file magic\n")


def test_a_draft_may_not_be_the_model_itself(weights: Path) -> None:
    parsed = parse("FROM m.gguf\nDRAFT ./m.gguf")
    with pytest.raises(Invalid) as caught:
        find_sources(parsed, weights.parent)
    assert caught.value.message == (
        f"DRAFT must not reference the same local path as FROM: {weights}"
    )


def test_a_file_wins_over_a_model_of_its_name_and_the_last_name_counts(weights: Path) -> None:
    (weights.parent / "llama3").write_bytes(DATA)
    sources = find_sources(parse("FROM one\nFROM llama3\nFROM two"), weights.parent)
    assert sources.base == "two"
    assert sources.files == {"llama3": weights.parent / "llama3"}


def test_paths_are_relative_to_the_modelfile_not_to_us(tmp_path: Path) -> None:
    path = modelfile(tmp_path, "FROM x")
    console = Console(None, io.StringIO(), io.StringIO(), {})
    assert read_modelfile(path, console) == (b"FROM x", tmp_path)
    assert read_modelfile("-", console) == (b"", Path())


def test_an_interrupt_ends_it(start_command: StartCommand, server: ScriptedServer) -> None:
    started, gone = threading.Event(), threading.Event()

    def never(exchange: Exchange) -> None:
        started.set()
        exchange.wait_for_hang_up()
        gone.set()

    server.on("POST", "/api/create", never)
    process = start_command(
        "create",
        "new",
        "-f",
        "-",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(b"FROM base")
    process.stdin.close()
    assert started.wait(20)
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read() == b""
    assert process.stderr.read() == b"gathering model components\n"
    assert process.wait(20) == 130
    assert gone.wait(20)


def test_a_refused_upload_ends_it(cli: Cli, server: ScriptedServer, weights: Path) -> None:
    server.reply("POST", f"/api/blobs/{DIGEST}", {"error": "disk full"}, status=500)
    outcome = cli("create", "new", "-f", modelfile(weights.parent, "FROM m.gguf"))
    assert outcome.code == 1
    assert outcome.err.splitlines()[-1] == "Error: disk full"
    assert "POST /api/create" not in server.calls()


def test_reading_a_file_stops_on_demand(weights: Path) -> None:
    stop = threading.Event()
    reading = read_chunks(weights, stop)
    assert next(reading) == DATA[: 1 << 20]
    stop.set()
    with pytest.raises(GatewayError, match=r"^interrupted$"):
        next(reading)
    stop.clear()
    assert b"".join(read_chunks(weights, stop)) == DATA


def gguf(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"GGUF and so on")
    return path


def test_paths_are_relative_to_the_modelfile(tmp_path: Path) -> None:
    file = gguf(tmp_path / "sub" / "a.gguf")
    assert local_path("sub/a.gguf", tmp_path) == file
    assert local_path("./sub", tmp_path) == file.parent
    assert local_path(str(file), Path("/elsewhere")) == file
    assert local_path("llama3", tmp_path) is None


def test_a_tilde_is_the_home_folder(tmp_path: Path) -> None:
    assert local_path("~", tmp_path) == Path.home()


def test_a_missing_file_that_is_required_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        required_files("a.gguf", tmp_path)
    assert caught.value.message == "a.gguf: no such file or directory"


def test_a_folder_stands_for_its_gguf_files(tmp_path: Path) -> None:
    second, first = gguf(tmp_path / "b.gguf"), gguf(tmp_path / "a.gguf")
    (tmp_path / "c.gguf").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    (tmp_path / "config.json").write_text("{}")
    assert gguf_files(tmp_path) == [first, second]
    assert gguf_files(first) == [first]


def test_a_folder_without_gguf_files_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(Invalid) as caught:
        gguf_files(tmp_path)
    assert caught.value.message == f"no Modelfile or GGUF files found in {tmp_path}"


def test_a_file_of_another_kind_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"{}")
    with pytest.raises(Invalid) as caught:
        gguf_files(file)
    assert caught.value.message == f"{file}: not a GGUF file, and only those are supported for now"


def test_a_link_may_point_inside_its_folder_only(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    target = gguf(folder / "blobs" / "x")
    (folder / "a.gguf").symlink_to(target)
    assert gguf_files(folder) == [folder / "a.gguf"]
    (folder / "b.gguf").symlink_to(gguf(tmp_path / "out"))
    with pytest.raises(Invalid) as caught:
        gguf_files(folder)
    assert caught.value.message == "insecure path: b.gguf"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([], []),
        (["/a/b/c.gguf"], ["c.gguf"]),
        (["/a/b/c.gguf", "/a/b/d.gguf"], ["c.gguf", "d.gguf"]),
        (["/a/b/c.gguf", "/a/d/e.gguf"], ["b/c.gguf", "d/e.gguf"]),
        (["/a/b/../c.gguf", "/a/d.gguf"], ["c.gguf", "d.gguf"]),
    ],
)
def test_files_are_sent_under_names_below_their_common_folder(
    files: list[str], expected: list[str]
) -> None:
    assert list(upload_names(map(Path, files))) == expected
