"""The command line as a process, against a server that runs: exit codes and standard output."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from gateway import __version__
from runners.build.scripted_model import write
from tests.fakes.process import ROOT, Gateway, environment, eventually
from tests.fakes.scripts import JSON, PLAIN, UNICODE

pytestmark = pytest.mark.engine

Done = subprocess.CompletedProcess[str]
Paddock = Callable[..., Done]


@pytest.fixture
def paddock(served: Gateway, tmp_path: Path) -> Paddock:
    """Run `python -m gateway` with these words; `typed` is its standard input."""

    def run(*words: str, typed: str = "", host: str = served.url) -> Done:
        return subprocess.run(
            [sys.executable, "-m", "gateway", *words],
            env={**environment(tmp_path, tmp_path, host=host), "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            input=typed,
            capture_output=True,
            encoding="utf-8",
            timeout=30,
            check=False,
        )

    return run


def rows(done: Done) -> list[list[str]]:
    """The cells of a table, its head left out."""
    assert (done.returncode, done.stderr) == (0, "")
    return [line.split() for line in done.stdout.splitlines()[1:]]


def test_a_models_life(paddock: Paddock, served: Gateway, tmp_path: Path) -> None:
    write(tmp_path / "own.gguf", ("My ", "own ", "words."))
    (tmp_path / "Modelfile").write_text("FROM ./own.gguf\nSYSTEM Be mine.\nPARAMETER num_ctx 256\n")
    done = paddock("create", "mine", "-f", "Modelfile")
    assert (done.returncode, done.stdout) == (0, "")
    assert "success" in done.stderr

    (row,) = rows(paddock("list", "mine"))
    assert row[0] == "mine:latest"
    assert paddock("show", "mine", "--system").stdout.strip() == "Be mine."
    assert "num_ctx" in paddock("show", "mine", "--parameters").stdout

    done = paddock("run", "mine", "who are you?")
    assert (done.returncode, done.stdout) == (0, "My own words.\n\n")
    (row,) = rows(paddock("ps", "mine"))
    assert row[0] == "mine:latest"
    assert "256" in row

    done = paddock("cp", "mine", "yours")
    assert (done.returncode, done.stdout) == (0, "copied 'mine' to 'yours'\n")
    assert paddock("run", "yours", "and you?").stdout == "My own words.\n\n"

    assert paddock("stop", "mine").returncode == 0
    eventually(lambda: rows(paddock("ps", "mine")) == [])

    done = paddock("rm", "mine", "yours")
    assert (done.returncode, done.stdout) == (0, "deleted 'mine'\ndeleted 'yours'\n")
    assert rows(paddock("list", "mine")) == []


def test_a_prompt_from_standard_input(paddock: Paddock) -> None:
    done = paddock("run", "plain", typed="tell me\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, PLAIN.text + "\n\n", "")


def test_the_text_of_a_model_reaches_standard_output_unharmed(paddock: Paddock) -> None:
    assert paddock("run", "unicode", "hi").stdout == UNICODE.text + "\n\n"


def test_a_format(paddock: Paddock) -> None:
    assert paddock("run", "json", "hi", "--format", "json").stdout == JSON.text + "\n\n"


def test_thinking_is_shown_or_hidden(paddock: Paddock) -> None:
    shown = paddock("run", "thinking", "hi").stdout
    assert "Let me see." in shown
    assert shown.endswith("It is 4.\n\n")
    assert paddock("run", "thinking", "hi", "--hidethinking").stdout == "It is 4.\n\n"


def test_timings_go_to_standard_error(paddock: Paddock) -> None:
    done = paddock("run", "plain", "hi", "--verbose")
    assert done.stdout == PLAIN.text + "\n\n"
    assert f"eval count:           {len(PLAIN.pieces) + 1} token(s)" in done.stderr


def test_an_empty_run_only_loads(paddock: Paddock, fresh: Gateway, client: httpx.Client) -> None:
    done = paddock("run", "plain", "", "--keepalive", "90s")
    assert (done.returncode, done.stdout) == (0, "")
    assert [model["name"] for model in client.get("/api/ps").json()["models"]] == ["plain:latest"]


def test_the_version(paddock: Paddock) -> None:
    done = paddock("version")
    assert (done.returncode, done.stdout) == (0, f"paddock version is {__version__}\n")
    done = paddock("--version", host="127.0.0.1:1")
    assert (done.returncode, done.stdout) == (0, f"paddock version {__version__}\n")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("push", "missing"), "model 'missing:latest' not found"),
        (("show", "missing"), "model 'missing:latest' not found"),
        (("rm", "missing"), "model 'missing' not found"),
        (("cp", "missing", "other2"), 'model "missing" not found'),
        (("stop", "missing"), 'couldn\'t find model "missing" to stop'),
        (("create", "x", "-f", "nowhere"), "specified Modelfile wasn't found"),
        (("run", "alien", "hi"), "unknown model architecture: 'alien'"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_1(
    paddock: Paddock, words: tuple[str, ...], complaint: str
) -> None:
    done = paddock(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_a_server_the_remedy_is_named(paddock: Paddock) -> None:
    done = paddock("list", host="127.0.0.1:1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "run 'paddock serve' to start it" in done.stderr
