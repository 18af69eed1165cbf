"""A real process stands in for llama-quantize: its arguments, its failures, and that it ends."""

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from gateway.errors import Broken, Invalid
from gateway.store.blobs import Blobs
from gateway.store.gguf import Header
from gateway.store.quantize import (
    COPY,
    Conversion,
    ConvertedBlob,
    convert,
    needs_conversion,
    program,
    quantize_flags,
    target_type,
)

pytestmark = pytest.mark.anyio

# Writes what it read behind a mark, and its own arguments to a file; prints `output`.
TOOL = """#!{python}
import json, os, sys, time
words = sys.argv[1:]
source, target, kind = words[-3:]
open({note!r}, "w").write(json.dumps([os.getpid(), *words]))
shards = [source]
if "-of-" in os.path.basename(source):
    shards = sorted(os.listdir(os.path.dirname(source)))
with open(target, "wb") as out:
    out.write(kind.encode() + b":")
    for name in shards:
        out.write(open(os.path.join(os.path.dirname(source), name), "rb").read())
sys.stderr.write({output!r})
sys.stderr.flush()
if {hangs!r}:
    time.sleep(600)
sys.exit({code!r})
"""
LINE = (
    "[ {number:3}/   4] blk.0.w - [ 512, 512, 1, 1], type = f16, converting to q8_0 .. "
    "size = {mib:8.2f} MiB -> 0.14 MiB\n"
)


class Workspace:
    """A folder with blobs and a tool; `progress` is what was sent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blobs = Blobs(folder / "blobs")
        self.progress: list[Mapping[str, Any]] = []
        self.note = folder / "note"

    def tool(self, output: str = "", code: int = 0, hangs: bool = False) -> Path:
        path = self.folder / "llama-quantize"
        text = TOOL.format(
            python=sys.executable, note=str(self.note), output=output, code=code, hangs=hangs
        )
        path.write_text(text)
        path.chmod(0o755)
        return path

    def conversion(self, *contents: bytes, size: int = 4 << 20, flags: Any = ()) -> Conversion:
        sources = tuple(self.blobs.store(data)[0] for data in contents)
        return Conversion(0, sources, size, "F16", "Q8_0", flags)

    async def send(self, progress: Mapping[str, Any]) -> None:
        self.progress.append(progress)

    def arguments(self) -> list[str]:
        words: list[str] = json.loads(self.note.read_text())[1:]
        return words

    def names(self) -> set[str]:
        return {entry.name for entry in self.blobs.files()}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def sha(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


# ---- the program


def test_the_program_is_beside_the_engine(workspace: Workspace) -> None:
    tool = workspace.tool()
    assert program(workspace.folder / "llama-server") == tool


def test_an_engine_without_the_program_is_an_error(workspace: Workspace) -> None:
    with pytest.raises(Broken) as caught:
        program(workspace.folder / "llama-server")
    path = workspace.folder / "llama-quantize"
    message = f"llama-quantize unavailable: llama-quantize binary not found (checked: {path})"
    assert caught.value.message == message


# ---- a conversion


async def test_what_it_writes_becomes_a_blob(workspace: Workspace) -> None:
    conversion = workspace.conversion(b"weights", flags=("--tensor-type", "x=f16"))
    made = await convert(workspace.tool(), workspace.blobs, conversion, workspace.send)
    assert made == ConvertedBlob(sha(b"Q8_0:weights"), new=True)
    assert workspace.blobs.read(made.digest) == b"Q8_0:weights"
    *words, source, temporary, kind = workspace.arguments()
    assert words == ["--allow-requantize", "--tensor-type", "x=f16"]
    assert (source, kind) == (str(workspace.blobs.path(sha(b"weights"))), "Q8_0")
    assert Path(temporary).parent == workspace.blobs.folder
    assert workspace.names() == {
        workspace.blobs.path(d).name for d in (sha(b"weights"), made.digest)
    }


async def test_a_result_that_is_there_already_is_not_new(workspace: Workspace) -> None:
    workspace.blobs.store(b"Q8_0:weights")
    made = await convert(
        workspace.tool(), workspace.blobs, workspace.conversion(b"weights"), workspace.send
    )
    assert made == ConvertedBlob(sha(b"Q8_0:weights"), new=False)
    assert len(workspace.names()) == 2


async def test_shards_are_given_under_the_names_llama_cpp_looks_for(workspace: Workspace) -> None:
    made = await convert(
        workspace.tool(), workspace.blobs, workspace.conversion(b"one ", b"two"), workspace.send
    )
    assert made.digest == sha(b"Q8_0:one two")
    source = Path(workspace.arguments()[-3])
    assert source.name == "model-00001-of-00002.gguf"
    assert not source.parent.exists()


async def test_progress_goes_by_what_the_program_prints(workspace: Workspace) -> None:
    output = "loaded\n" + "".join(LINE.format(number=n, mib=m) for n, m in ((1, 1), (2, 2), (3, 9)))
    await convert(
        workspace.tool(output), workspace.blobs, workspace.conversion(b"w"), workspace.send
    )
    one = {"status": "quantizing F16 model to Q8_0", "digest": "0" * 19, "total": 4 << 20}
    assert workspace.progress == [
        one,
        {**one, "completed": 1 << 20},
        {**one, "completed": 3 << 20},
        {**one, "completed": 4 << 20},
    ]


async def test_progress_is_sent_once_a_percent(workspace: Workspace) -> None:
    output = "".join(LINE.format(number=n, mib=0.01) for n in range(1, 400))
    await convert(
        workspace.tool(output), workspace.blobs, workspace.conversion(b"w"), workspace.send
    )
    assert len(workspace.progress) == 101


# ---- failures


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("a\nllama_model_quantize: failed to quantize: no room\nmain: failed\n", "no room"),
        ("a\n\nsome error", "some error"),
        ("", "it does not say why"),
        ("x" * 100_000, "x" * 4096),
    ],
)
async def test_a_failure_has_the_programs_words_and_leaves_nothing(
    workspace: Workspace, output: str, reason: str
) -> None:
    conversion = workspace.conversion(b"w")
    with pytest.raises(Broken) as caught:
        await convert(workspace.tool(output, code=1), workspace.blobs, conversion, workspace.send)
    assert caught.value.message == f"llama-quantize failed with 1: {reason}"
    assert workspace.names() == {workspace.blobs.path(sha(b"w")).name}


async def test_cancelling_ends_the_program_and_leaves_nothing(workspace: Workspace) -> None:
    conversion = workspace.conversion(b"w")
    started = anyio.Event()

    async def send(progress: Mapping[str, Any]) -> None:
        if "completed" in progress:
            started.set()

    tool = workspace.tool(LINE.format(number=1, mib=1), hangs=True)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(convert, tool, workspace.blobs, conversion, send)
        with anyio.fail_after(20):
            await started.wait()
        pid = json.loads(workspace.note.read_text())[0]
        assert psutil.pid_exists(pid)
        tasks.cancel_scope.cancel()
    assert not psutil.pid_exists(pid)
    assert workspace.names() == {workspace.blobs.path(sha(b"w")).name}


async def test_a_failing_sink_ends_the_program_too(workspace: Workspace) -> None:
    async def send(progress: Mapping[str, Any]) -> None:
        if "completed" in progress:
            raise OSError("gone")

    tool = workspace.tool(LINE.format(number=1, mib=1), hangs=True)
    with pytest.raises(OSError, match="gone"), anyio.fail_after(20):
        await convert(tool, workspace.blobs, workspace.conversion(b"w"), send)
    assert not psutil.pid_exists(json.loads(workspace.note.read_text())[0])
    assert len(workspace.names()) == 1


async def test_a_program_that_cannot_be_started_is_an_error(workspace: Workspace) -> None:
    tool = workspace.folder / "llama-quantize"
    tool.write_text("#!/nowhere/at/all\n")
    os.chmod(tool, 0o755)
    with pytest.raises(Broken, match="llama-quantize cannot be run"):
        await convert(tool, workspace.blobs, workspace.conversion(b"w"), workspace.send)
    assert len(workspace.names()) == 1


# ---- what may be converted into what


def header(file_type: Any = 1, architecture: str = "llama") -> Header:
    return Header({"general.architecture": architecture, "general.file_type": file_type}, (), 1)


# ---- types


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", ""),
        ("q8_0", "Q8_0"),
        ("Q4_K", "Q4_K_M"),
        ("q4_k_s", "Q4_K_S"),
        ("f32", "F32"),
        ("F16", "F16"),
        ("bf16", "BF16"),
    ],
)
def test_types_are_read_in_any_case(text: str, name: str) -> None:
    assert target_type(text) == name


@pytest.mark.parametrize("text", ["q5_0", "COPY", "Q4_K_L", " Q8_0"])
def test_other_types_are_refused(text: str) -> None:
    message = f"unsupported quantization type {text.upper()} - supported types are F32, F16, Q4_K_S"
    with pytest.raises(Invalid) as caught:
        target_type(text)
    assert caught.value.message == message + ", Q4_K_M, Q8_0"


# ---- what is needed


@pytest.mark.parametrize("origin", [0, 1, 32])
def test_plain_weights_are_converted(origin: int) -> None:
    assert needs_conversion(header(origin), "Q8_0")
    assert not needs_conversion(header(origin), "")


def test_weights_that_are_of_that_type_are_left_alone() -> None:
    assert not needs_conversion(header(1), "F16")
    assert not needs_conversion(header(7), "Q8_0")
    assert not needs_conversion(header(15), "Q4_K_M", draft=True)


@pytest.mark.parametrize("origin", [7, 15, 9999, None])
def test_quantized_weights_are_not_quantized_again(origin: int | None) -> None:
    with pytest.raises(Invalid) as caught:
        needs_conversion(header(origin), "Q4_K_S")
    message = "quantization is only supported for F16, BF16 and F32 models"
    assert caught.value.message == message


def test_a_quantized_draft_is_refused_by_its_type() -> None:
    with pytest.raises(Invalid) as caught:
        needs_conversion(header(7), "Q4_K_M", draft=True)
    message = "draft quantization requires an unquantized draft model, got Q8_0"
    assert caught.value.message == message


# ---- how


def test_most_models_need_no_arguments() -> None:
    assert quantize_flags(header(), "Q4_K_M") == ()


def test_some_tensors_are_spared_in_four_bits() -> None:
    overrides = quantize_flags(header(architecture="gemma3n"), "Q4_K_S")
    assert overrides == ("--tensor-type", r"^per_layer_token_embd\.weight=f16")
    assert quantize_flags(header(architecture="deepseek2"), "Q4_K_M")[:4] == (
        "--tensor-type",
        r"\.attn_k_b\.weight=q8_0",
        "--tensor-type",
        r"\.attn_q_a\.weight=q8_0",
    )
    ends = quantize_flags(header(architecture="glm4"), "Q4_K_M")
    assert ends == ("--token-embedding-type", "f16", "--output-tensor-type", "f16")


@pytest.mark.parametrize("architecture", ["gemma3n", "deepseek2", "glm4"])
def test_nothing_is_spared_in_eight_bits(architecture: str) -> None:
    assert quantize_flags(header(architecture=architecture), "Q8_0") == ()


def test_a_conversion_is_called_as_ollama_calls_it() -> None:
    one = Conversion(0, ("sha256:x",), 5, "BF16", "Q4_K_M")
    assert one.status == "quantizing BF16 model to Q4_K_M"
    assert Conversion(0, ("a", "b"), 5, "F16", COPY).status == "validating GGUF model"
