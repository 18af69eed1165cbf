"""Clients and frameworks that people reach us by, run as programs of their own.

Those of tests/clients have an environment apart, so that what they need is not what we need.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.node import installed
from tests.fakes.process import ROOT, Gateway
from tests.fakes.scripts import JSON, PLAIN, TOOLS, Scripted, create

pytestmark = pytest.mark.engine

PROGRAMS = ROOT / "tests" / "clients"
ENVIRONMENT = ROOT / ".venv" / "clients"
PACKAGES = ("openai@6.49.0", "ai@6.0.326", "@ai-sdk/openai-compatible@2.0.87", "zod@4.6.7")
AGENT = Scripted(
    TOOLS.pieces,
    template=f"{TOOLS.template}{{% if messages[-1].role == 'tool' %}}<|ready|>{{% endif %}}",
    more={"side": ("It is ", "warm."), "jumps": {"<|ready|>": "It is "}},
)
"""Calls a tool, and has something to say when the result is there."""

ways = pytest.mark.parametrize(
    ("program", "dialect"),
    [
        ("langchain_chat.py", "openai"),
        ("langchain_chat.py", "ollama"),
        ("langchain_chat.py", "anthropic"),
        ("litellm_chat.py", "openai"),
        ("litellm_chat.py", "ollama"),
        ("litellm_chat.py", "anthropic"),
        ("instructor_chat.py", "openai"),
        ("pydantic_ai_chat.py", "openai"),
        ("llm_chat.py", "ollama"),
        ("openai_chat.mjs", "openai"),
        ("ai_chat.mjs", "openai"),
    ],
)


class Programs:
    """Each is run once, even if it fails; what it told, by dialect."""

    def __init__(self, url: str, home: Path) -> None:
        self._url = url
        self._home = home
        self._ran: dict[str, subprocess.CompletedProcess[str]] = {}

    def reported(self, program: str, dialect: str) -> Any:
        if program not in self._ran:
            self._ran[program] = self._run(PROGRAMS / program)
        done = self._ran[program]
        assert done.returncode == 0, done.stderr[-4000:]
        result = [json.loads(line) for line in done.stdout.splitlines()]
        return {value["dialect"]: value for value in result}[dialect]

    def _run(self, path: Path) -> subprocess.CompletedProcess[str]:
        command, folder = _node(path) if path.suffix == ".mjs" else _python(path)
        return subprocess.run(
            [*command, self._url],
            cwd=folder,
            env=self._environ(),
            capture_output=True,
            text=True,
            timeout=120,
        )

    def _environ(self) -> dict[str, str]:
        """Nothing is fetched from elsewhere, and nothing left in the user's folders."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self._home),
            "LLM_USER_PATH": str(self._home / "llm"),
            "OLLAMA_HOST": self._url,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
            "LANGSMITH_TRACING": "false",
        }


def _python(path: Path) -> tuple[list[str], Path]:
    if not (ENVIRONMENT / ".installed").exists():
        pytest.skip("these clients are not installed: make .venv/clients/.installed")
    return [str(ENVIRONMENT / "bin" / "python"), str(path)], path.parent


def _node(path: Path) -> tuple[list[str], Path]:
    """A module that node reads as its argument finds packages from the folder it runs in."""
    folder = installed("javascript-clients-1", *PACKAGES)
    return ["node", "--input-type=module", "-e", path.read_text()], folder


@pytest.fixture(scope="module")
def programs(
    served: Gateway, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Programs]:
    with served.client() as client:
        create(client, "agent", AGENT, folder)
        create(client, "claude-sonnet-4-5", JSON, folder)
        yield Programs(served.url, tmp_path_factory.mktemp("home"))
        for name in ("agent", "claude-sonnet-4-5"):
            client.request("DELETE", "/api/delete", json={"model": name})


@ways
def test_a_chat_in_one_piece(programs: Programs, program: str, dialect: str) -> None:
    assert programs.reported(program, dialect)["chat"] == PLAIN.text


@ways
def test_a_chat_in_pieces(programs: Programs, program: str, dialect: str) -> None:
    assert programs.reported(program, dialect)["stream"] == [*PLAIN.pieces]


@ways
def test_a_tool_is_called_with_its_arguments(
    programs: Programs, program: str, dialect: str
) -> None:
    assert programs.reported(program, dialect)["call"] == ["weather", {"city": "Paris"}]


@ways
def test_what_follows_a_schema_is_an_object(programs: Programs, program: str, dialect: str) -> None:
    assert programs.reported(program, dialect)["answer"] == {"answer": 42}


@pytest.mark.parametrize(
    "program", ["pydantic_ai_chat.py", "llm_chat.py", "openai_chat.mjs", "ai_chat.mjs"]
)
def test_what_a_tool_gave_back_is_answered(programs: Programs, program: str) -> None:
    dialect = "ollama" if program == "llm_chat.py" else "openai"
    assert programs.reported(program, dialect)["after"].endswith("It is warm.")
