"""Ollama's own JavaScript client, run by node, against the server.

The package is fetched once, into the cache; without node, or without a way to fetch it, these
tests are left out.
"""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from anyio.to_thread import run_sync

from runners import cache_folder
from runners.build import scripted_model
from tests.fakes.process import Gateway, eventually
from tests.fakes.registry import running_registry
from tests.fakes.scripts import ENDLESS, PLAIN, WEATHER, upload

pytestmark = pytest.mark.engine

VERSION = "0.6.4"
HI = [{"role": "user", "content": "hi"}]
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "integer"}},
    "required": ["answer"],
}
SCRIPT = """
const [path, host, asked] = process.argv.slice(1)
const { Ollama } = await import(path)
const client = new Ollama({ host })
const results = []
for (const [method, body, parts] of JSON.parse(asked)) {
  try {
    let result = await client[method](body)
    if (body?.stream) {
      const found = []
      for await (const part of result) {
        if (found.push(part) === parts) result.abort()
      }
      result = found
    }
    results.push(result)
  } catch (error) {
    results.push({ error: error.message, name: error.name, status: error.status_code })
  }
}
console.log(JSON.stringify(results))
"""


@pytest.fixture(scope="session")
def package() -> Path:
    """The client's module."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("there is no node with npm")
    home = cache_folder(os.environ) / "tests" / f"ollama-js-{VERSION}" / "node_modules"
    if not home.is_dir():
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent) as name:
            reported = ["install", "--prefix", name, "--no-audit", "--no-fund", "--ignore-scripts"]
            done = subprocess.run(
                [npm, *reported, f"ollama@{VERSION}"], capture_output=True, text=True, timeout=120
            )
            if done.returncode:
                pytest.skip(f"npm cannot fetch the client: {done.stderr.strip()[-200:]}")
            # Whoever was faster has fetched the same.
            with contextlib.suppress(OSError):
                Path(name, "node_modules").rename(home)
    return home / "ollama" / "dist" / "index.mjs"


class Client:
    """`run` does calls one after the other in one process of node."""

    def __init__(self, package: Path, host: str) -> None:
        self._package = package
        self._host = host

    def run(self, *calls: tuple[str, Any] | tuple[str, Any, int]) -> list[Any]:
        """Method and argument of each, and after how many parts to abort; the results."""
        done = subprocess.run(
            [
                *("node", "--input-type=module", "-e", SCRIPT),
                *(self._package.as_uri(), self._host, json.dumps(calls)),
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        results: list[Any] = json.loads(done.stdout)
        return results


@pytest.fixture
def client(package: Path, served: Gateway) -> Client:
    return Client(package, served.url)


def test_chats_and_generations(client: Client) -> None:
    chat, parts, text, pieces = client.run(
        ("chat", {"model": "plain", "messages": HI}),
        ("chat", {"model": "plain", "messages": HI, "stream": True}),
        ("generate", {"model": "plain", "prompt": "hi", "options": {"num_predict": 2}}),
        ("generate", {"model": "plain", "prompt": "hi", "stream": True}),
    )
    assert (chat["message"]["content"], chat["done_reason"]) == (PLAIN.text, "stop")
    assert [part["message"]["content"] for part in parts] == [*PLAIN.pieces, ""]
    assert (text["response"], text["done_reason"]) == ("Alpha beta ", "length")
    assert [piece["response"] for piece in pieces] == [*PLAIN.pieces, ""]


def test_tools_forms_and_thoughts(client: Client) -> None:
    called, formed, thought = client.run(
        ("chat", {"model": "tools", "messages": HI, "tools": [WEATHER]}),
        ("chat", {"model": "json", "messages": HI, "format": SCHEMA}),
        ("chat", {"model": "thinking", "messages": HI, "think": True}),
    )
    (call,) = called["message"]["tool_calls"]
    assert call["function"]["name"] == "weather"
    assert call["function"]["arguments"] == {"city": "Paris"}
    assert json.loads(formed["message"]["content"]) == {"answer": 42}
    assert thought["message"]["thinking"] == "Let me see.\n"
    assert thought["message"]["content"] == "It is 4."


def test_a_stream_that_is_aborted_frees_the_model(client: Client, served: Gateway) -> None:
    body = {"model": "endless", "messages": HI}
    before = served.log_text().count(" model=endless ")
    (ended,) = client.run(("chat", {**body, "stream": True}, 3))
    assert ended["name"] == "AbortError"
    # A request is logged at its end.
    eventually(lambda: served.log_text().count(" model=endless ") == before + 1)
    (after,) = client.run(("chat", {**body, "options": {"num_predict": 3}}))
    assert after["message"]["content"] == ENDLESS.text


def test_models_are_listed_shown_made_and_deleted(
    client: Client, served: Gateway, tmp_path: Path
) -> None:
    path = scripted_model.write(tmp_path / "m.gguf", ("Made ", "here."))
    with served.client() as http:
        digest = upload(http, path.read_bytes())
    made, steps, copied, listed, shown, running, chat, gone, missing, version = client.run(
        ("create", {"model": "js", "files": {"m.gguf": digest}, "system": "Be brief."}),
        ("create", {"model": "js-too", "from": "js", "stream": True}),
        ("copy", {"source": "js", "destination": "js-copy"}),
        ("list", None),
        ("show", {"model": "js-copy"}),
        ("ps", None),
        ("chat", {"model": "js-copy", "messages": HI}),
        ("delete", {"model": "js-too"}),
        ("show", {"model": "js-too"}),
        ("version", None),
    )
    assert made == {"status": "success"}
    assert steps[-1] == {"status": "success"}
    assert copied["status"] == gone["status"] == "success"
    assert {"js:latest", "js-copy:latest"} <= {model["name"] for model in listed["models"]}
    assert (shown["system"], shown["details"]["family"]) == ("Be brief.", "llama")
    assert "models" in running
    assert chat["message"]["content"] == "Made here."
    assert (missing["status"], missing["error"]) == (404, "model 'js-too:latest' not found")
    assert version["version"]
    client.run(("delete", {"model": "js"}), ("delete", {"model": "js-copy"}))


def test_embeddings(client: Client, served: Gateway, tmp_path: Path) -> None:
    metadata = {"llama.pooling_type": 1}
    path = scripted_model.write(tmp_path / "e.gguf", ("Mute.",), metadata=metadata)
    with served.client() as http:
        digest = upload(http, path.read_bytes())
    _, many, old, _ = client.run(
        ("create", {"model": "js-embedding", "files": {"m.gguf": digest}}),
        ("embed", {"model": "js-embedding", "input": ["a", "b", "a"]}),
        ("embeddings", {"model": "js-embedding", "prompt": "a"}),
        ("delete", {"model": "js-embedding"}),
    )
    first, second, third = many["embeddings"]
    assert first == third != second
    assert len(old["embedding"]) == len(first)


@pytest.mark.anyio
async def test_a_model_goes_to_a_registry_and_comes_back(client: Client) -> None:
    async with running_registry() as registry:
        name = f"{registry.host}/library/travelled"
        way = {"model": name, "insecure": True}
        results = await run_sync(
            client.run,
            ("copy", {"source": "plain", "destination": name}),
            ("push", {**way, "stream": True}),
            ("delete", {"model": name}),
            ("pull", {**way, "stream": True}),
            ("pull", way),
            ("push", way),
            ("delete", {"model": name}),
        )
    assert results[1][-1] == results[3][-1] == {"status": "success"}
    assert [result["status"] for result in (*results[4:], results[0])] == ["success"] * 4


def test_errors_have_a_status_and_a_text(client: Client) -> None:
    missing, streamed, unable = client.run(
        ("chat", {"model": "nope", "messages": HI}),
        ("chat", {"model": "nope", "messages": HI, "stream": True}),
        ("chat", {"model": "plain", "messages": HI, "think": True}),
    )
    assert (missing["status"], missing["error"]) == (404, "model 'nope' not found")
    assert (streamed["status"], streamed["error"]) == (404, "model 'nope' not found")
    assert (unable["status"], unable["error"]) == (400, '"plain" does not support thinking')
