"""The files that a request enters, counted on a small tree that stands in for the gateway."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from bench.load import BenchError
from bench.walk import PROBES, Probe, ProfiledGateway, Walk, in_http_layer, listing, table

ROOT = Path(__file__).resolve().parents[2]
TREE = {
    "gateway/__init__.py": "",
    "gateway/__main__.py": """
import os
from http.server import ThreadingHTTPServer
from gateway.http.listener import Handler

host, port = os.environ["PADDOCK_HOST"].split(":")
ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
""",
    # A server that answers each connection on a thread, and finishes what it does after its reply.
    "gateway/http/listener.py": """
import asyncio
from http.server import BaseHTTPRequestHandler
from gateway import late, routes, unused

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply(unused.hello())

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.reply(asyncio.run(routes.chat(self.path)))
        late.log()

    def reply(self, text):
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
        self.wfile.flush()

    def log_message(self, *details):
        pass
""",
    "gateway/unused.py": "def hello(): return 'up'",
    "gateway/late.py": "def log(): pass",
    "gateway/routes.py": """
from gateway import cache, plain
from runners import stream

async def chat(path):
    cache.fill()
    return plain.join([word async for word in stream.words(path)])
""",
    # Work that only the first request has.
    "gateway/cache.py": """
import functools

@functools.cache
def fill():
    return None
""",
    "gateway/plain.py": "def join(words): return ' '.join(words)",
    "runners/__init__.py": "",
    "runners/stream.py": """
async def words(path):
    yield path
    yield 'done'
""",
}


def probe(ending: bytes) -> Probe:
    return Probe("a chat", "/chat", "m", "messages", {}, ending)


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProfiledGateway]:
    for path, source in TREE.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(source)
    # The tree's `gateway` comes first, and `bench` from here.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with ProfiledGateway(tmp_path, tmp_path / "models", "") as running:
        yield running


def test_a_warm_request_enters_these_files_in_this_order(gateway: ProfiledGateway) -> None:
    entered = {
        "gateway/http/listener.py": False,
        "gateway/routes.py": True,
        "runners/stream.py": True,
        "gateway/plain.py": False,
        "gateway/late.py": False,
    }
    for _ in range(2):
        walk = gateway.record(probe(b"/chat done"))
        assert list(walk.entered.items()) == list(entered.items())


def test_a_reply_without_its_ending_is_an_error(gateway: ProfiledGateway) -> None:
    with pytest.raises(BenchError, match="a chat: not a complete reply: b'/chat done'"):
        gateway.record(probe(b"[DONE]"))


@pytest.mark.parametrize(
    ("path", "http"),
    [
        ("gateway/app.py", True),
        ("gateway/http/listener.py", True),
        ("gateway/http/connection.py", True),
        ("gateway/http2.py", False),
        ("gateway/routes/app.py", False),
        ("runners/scheduler.py", False),
    ],
)
def test_the_http_layer_has_files_of_both_layouts(path: str, http: bool) -> None:
    assert in_http_layer(path) is http


WALK = Walk(
    "a chat",
    {
        "gateway/http/listener.py": True,
        "gateway/app.py": False,
        "gateway/api/routes.py": True,
        "gateway/names.py": False,
        "runners/lease.py": True,
    },
)


def test_the_table_counts_the_http_layer_apart() -> None:
    assert table([WALK]).splitlines()[2].split() == ["a", "chat", "3", "2", "2", "1"]


def test_the_listing_keeps_the_order_and_marks_coroutines() -> None:
    assert listing(WALK).splitlines() == [
        "a chat",
        "  gateway/api/routes.py *",
        "  gateway/names.py",
        "  runners/lease.py *",
        "  (HTTP) gateway/http/listener.py *",
        "  (HTTP) gateway/app.py",
    ]


@pytest.mark.parametrize(
    ("name", "body"),
    [
        (
            "OpenAI chat, streamed",
            {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 8, "stream": True},
        ),
        ("Ollama generate", {"prompt": "hi", "options": {"num_predict": 8}}),
        ("Ollama embed", {"input": "hi"}),
    ],
)
def test_a_prompt_goes_where_the_api_has_it(name: str, body: Mapping[str, object]) -> None:
    [result] = [probe for probe in PROBES if probe.name == name]
    assert result.body("hi") == {"model": result.model, **body}
