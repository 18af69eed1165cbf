"""A scripted server on a loopback port, and the command line run against it.

`cli` runs commands inside the test, on streams in memory. `start_command` runs them as a process,
for what only a process has: signals, pipes and terminals.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

import pytest

from gateway.cli import main
from gateway.cli.console import Console

ROOT = Path(__file__).parents[3]
# Whoever starts the tests may have SIGINT ignored, which their processes inherit.
START = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from gateway.cli import main; sys.exit(main())"
)


@dataclass
class ReceivedRequest:
    """What a client sent."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Exchange:
    """One request being answered by hand: send pieces, or wait until the client hangs up."""

    def __init__(self, handler: BaseHTTPRequestHandler, request: ReceivedRequest) -> None:
        self._handler = handler
        self.request = request

    def start(self, kind: str = "application/x-ndjson") -> None:
        self._handler.send_response(200)
        self._handler.send_header("Content-Type", kind)
        self._handler.send_header("Connection", "close")
        self._handler.end_headers()

    def send(self, data: bytes) -> None:
        self._handler.wfile.write(data)
        self._handler.wfile.flush()

    def wait_for_hang_up(self) -> None:
        while self._handler.connection.recv(65536):
            pass


ExchangeScript = Callable[[Exchange], None]


@dataclass
class ScriptedServer:
    """Answers as its scripts say; everything else is 404. Requests are kept in order."""

    url: str = ""
    requests: list[ReceivedRequest] = field(default_factory=list)
    scripts: dict[tuple[str, str], ExchangeScript] = field(default_factory=dict)

    def on(self, method: str, path: str, script: ExchangeScript) -> None:
        self.scripts[method, path] = script

    def reply(self, method: str, path: str, value: object = None, status: int = 200) -> None:
        """Answer with JSON, with bytes as they are, or with nothing."""
        if isinstance(value, bytes):
            data = value
        else:
            data = b"" if value is None else json.dumps(value).encode()
        self.on(method, path, lambda exchange: finish(exchange, status, data))

    def stream(self, path: str, *objects: object) -> None:
        """Answer a POST with one line per object."""
        data = b"".join(json.dumps(item).encode() + b"\n" for item in objects)
        self.on("POST", path, lambda exchange: finish(exchange, 200, data))

    def calls(self) -> list[str]:
        """`METHOD path` of every request but the first check."""
        named = [f"{request.method} {request.path}" for request in self.requests]
        return [name for name in named if name != "HEAD /"]

    def last(self, path: str) -> Any:
        """The JSON of the latest request for `path`."""
        return next(item for item in reversed(self.requests) if item.path == path).json


def finish(exchange: Exchange, status: int, data: bytes) -> None:
    handler = exchange._handler
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    if exchange.request.method != "HEAD":
        handler.wfile.write(data)


def handler_for(server: ScriptedServer) -> type[BaseHTTPRequestHandler]:
    class ScriptedHandler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # or every reply waits 40 ms for an acknowledgement

        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            headers = {key.lower(): value for key, value in self.headers.items()}
            request = ReceivedRequest(self.command, self.path, headers, self.rfile.read(length))
            server.requests.append(request)
            exchange = Exchange(self, request)
            script = server.scripts.get((request.method, request.path))
            if script is None:
                finish(exchange, 404, b'{"error":"nothing here"}')
            else:
                script(exchange)

        do_GET = do_HEAD = do_POST = do_DELETE = handle_any

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test output clean."""

    return ScriptedHandler


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    scripted = ScriptedServer()
    scripted.reply("HEAD", "/")
    listening = ThreadingHTTPServer(("127.0.0.1", 0), handler_for(scripted))
    scripted.url = f"http://127.0.0.1:{listening.server_port}"
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield scripted
    listening.shutdown()
    thread.join()
    listening.server_close()


class Screen(io.StringIO):
    """A text stream that says it is a terminal; 80 by 24, since it has no descriptor."""

    def isatty(self) -> bool:
        return True


@dataclass
class Outcome:
    code: int
    out: str
    err: str


class Cli(Protocol):
    def __call__(
        self, *argv: str, stdin: bytes = ..., screen: bool = ..., **environ: str
    ) -> Outcome: ...


@pytest.fixture
def cli(server: ScriptedServer) -> Cli:
    """Run a command in this process, with `server` as the server."""

    def run(*argv: str, stdin: bytes = b"", screen: bool = False, **environ: str) -> Outcome:
        source = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
        out, err = (Screen(), Screen()) if screen else (io.StringIO(), io.StringIO())
        console = Console(source, out, err, {"PADDOCK_HOST": server.url, **environ})
        # click prints help pages and the version by itself, to the standard output of the process.
        with contextlib.redirect_stdout(out):
            code = main(argv, console)
        return Outcome(code, out.getvalue(), err.getvalue())

    return run


class StartCommand(Protocol):
    def __call__(
        self, *argv: str, start: str = ..., **options: Any
    ) -> "subprocess.Popen[bytes]": ...


@pytest.fixture
def start_command(server: ScriptedServer) -> Iterator[StartCommand]:
    """Start a command as a process; what still runs at the end of the test is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def run(*argv: str, start: str = START, **options: Any) -> "subprocess.Popen[bytes]":
        environ = {**os.environ, "PADDOCK_HOST": server.url, **options.pop("environ", {})}
        process = subprocess.Popen(
            [sys.executable, "-c", start, *argv], cwd=ROOT, env=environ, **options
        )
        started.append(process)
        return process

    yield run
    for process in started:
        with process:
            process.kill()
