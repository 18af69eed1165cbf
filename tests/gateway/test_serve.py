"""The composition root: settings as arguments, and the server as a process."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

import psutil
import pytest

from gateway.inference.launch import Defaults
from gateway.serve import defaults, limits, responses, server_config
from gateway.settings import load
from gateway.store.responses import StoredResponse
from runners import GIB, Device, DeviceKind, Limits
from tests.fakes.engine import fake_engine
from tests.fakes.store import Store

MODEL = "registry.ollama.ai/library/m/latest"
START = "import sys; from gateway.serve import main; sys.exit(main())"
PATIENCE = 20.0
HI = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}

Open = Callable[..., "Server"]


class Server:
    """A gateway as a process of its own, with a fake engine and a store in `folder`."""

    def __init__(self, folder: Path, *behaviour: str, **settings: str) -> None:
        engine = fake_engine(folder / "engine", *behaviour)
        (folder / "run").mkdir(mode=0o700, exist_ok=True)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "PADDOCK_HOST": "127.0.0.1:0",
            "PADDOCK_ENGINE": str(engine),
            "PADDOCK_MODELS": str(folder / "models"),
            **settings,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", START], env=environment, stderr=subprocess.PIPE, text=True
        )
        self.stderr = cast(IO[str], self.process.stderr)
        self.output: list[str] = []
        self.client: http.client.HTTPConnection | None = None

    def until(self, words: str) -> str:
        """The rest of the line that has these words in it."""
        for line in self.stderr:
            self.output.append(line)
            if words in line:
                return line.partition(words)[2]
        raise AssertionError(self.output)

    def ready(self) -> http.client.HTTPConnection:
        """A connection to it, once it listens."""
        host, _, port = self.until("listening on ").partition(" ")[0].rpartition(":")
        self.client = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
        return self.client

    def ended(self) -> tuple[int, str]:
        """Exit status, and what was said since the last look."""
        rest = self.stderr.read()
        return self.process.wait(PATIENCE), rest

    def end(self) -> None:
        """Whatever happened; its engines end when their standard input does."""
        if self.client is not None:
            self.client.close()
        self.process.kill()
        with self.process:
            pass


@pytest.fixture
def start() -> Iterator[Open]:
    """Starts servers; they end with the test."""
    servers: list[Server] = []
    with tempfile.TemporaryDirectory(prefix="gw") as name:

        def start(*behaviour: str, **settings: str) -> Server:
            servers.append(Server(Path(name), *behaviour, **settings))
            return servers[-1]

        Store(Path(name) / "models").put(MODEL)
        yield start
        for server in servers:
            server.end()


def ask(client: http.client.HTTPConnection, **more: Any) -> http.client.HTTPResponse:
    client.request("POST", "/api/chat", json.dumps({**HI, **more}))
    return client.getresponse()


# ---- settings as arguments


def test_settings_become_the_schedulers_limits() -> None:
    assert limits(load({})) == Limits()
    given = {
        "PADDOCK_MAX_LOADED_MODELS": "5",
        "PADDOCK_MAX_QUEUE": "6",
        "PADDOCK_KEEP_ALIVE": "-1",
        "PADDOCK_GPU_OVERHEAD": "7",
        "PADDOCK_SCHED_SPREAD": "1",
    }
    assert limits(load(given)) == Limits(
        runners=5, queue=6, keep_alive=float("inf"), overhead=7, spread=True
    )


def test_settings_become_the_defaults_of_every_model() -> None:
    given = {
        "PADDOCK_CONTEXT_LENGTH": "100",
        "PADDOCK_NUM_PARALLEL": "3",
        "PADDOCK_KV_CACHE_TYPE": "q8_0",
        "PADDOCK_FLASH_ATTENTION": "on",
        "PADDOCK_PROMPT_CACHE": "9",
    }
    gpu = Device("GPU", DeviceKind.GPU, 24 * GIB, 24 * GIB)
    assert defaults(load(given), (gpu,)) == Defaults(100, 3, 6 * GIB, "q8_0", "on", 9)


def test_what_settings_leave_open_goes_by_the_memory_there_is() -> None:
    host = Device("CPU", DeviceKind.CPU, 16 * GIB, 8 * GIB)
    gpu = Device("GPU", DeviceKind.GPU, 24 * GIB, 24 * GIB)
    assert defaults(load({}), (host,)) == Defaults(4096, 0, 4 * GIB, prompt_cache=256)
    assert defaults(load({}), (host, gpu)) == Defaults(32768, 0, 6 * GIB, prompt_cache=256)


def test_responses_are_kept_in_the_cache_folder_unless_told_otherwise(tmp_path: Path) -> None:
    kept = StoredResponse({"id": "a", "previous_response_id": None, "output": []}, [])
    places: list[tuple[dict[str, str], str]] = [
        ({}, "responses.db"),
        ({"PADDOCK_RESPONSES_FILE": str(tmp_path / "mine.db")}, "mine.db"),
    ]
    for given, place in places:
        store = responses(load(given), tmp_path)
        assert store is not None
        assert store.save(kept)
        assert store.get("a") == kept.response
        store.close()
        assert (tmp_path / place).is_file()
    assert responses(load({"PADDOCK_STORE_RESPONSES": "0"}), tmp_path) is None


def test_responses_have_the_room_they_are_given(tmp_path: Path) -> None:
    store = responses(load({"PADDOCK_RESPONSES_ROOM": "1"}), tmp_path)
    assert store is not None
    response: dict[str, Any] = {"id": "a", "previous_response_id": None, "output": []}
    assert not store.save(StoredResponse({**response, "text": "x" * (1 << 20)}, []))
    assert store.save(StoredResponse({**response, "text": "x" * 1_000_000}, []))
    store.close()


def test_hypercorn_takes_over_the_bound_socket_and_stays_silent() -> None:
    config = server_config(7, 2.5)
    assert (config.bind, config.graceful_timeout) == (["fd://7"], 2.5)
    assert (config.include_server_header, config.accesslog) == (False, None)
    assert config.keep_alive_timeout == 75.0


# ---- as a process


def test_it_says_what_it_has_and_answers_until_it_is_told_to_stop(start: Open) -> None:
    server = start("--devices", "GPU0:Fake:2048:1024", OLLAMA_VULKAN="1")
    client = server.ready()
    output = "".join(server.output)
    for words in (
        "warning serve  OLLAMA_VULKAN means nothing to Paddock and is ignored",
        "device GPU0: Fake, 2.0 GiB, 1.0 GiB free",
        "engine fake (cpu) at ",
        "models in ",
    ):
        assert words in output
    reply = json.loads(ask(client, stream=False).read())
    assert reply["message"]["content"] == "Hello from the fake engine."
    [engine] = psutil.Process(server.process.pid).children()
    server.process.send_signal(signal.SIGTERM)
    status, rest = server.ended()
    assert status == 0
    assert "stopping: SIGTERM" in rest
    assert "Traceback" not in rest
    assert not engine.is_running()


def test_a_reply_on_its_way_is_finished_first(start: Open) -> None:
    server = start("--tokens", "30", "--interval", "0.01")
    response = ask(server.ready())
    first = response.readline()
    server.process.send_signal(signal.SIGTERM)
    server.until("stopping: ")
    lines = [json.loads(line) for line in (first, *response.read().splitlines())]
    assert [line["done"] for line in lines] == [False] * 30 + [True]
    assert server.ended()[0] == 0


def test_a_second_signal_does_not_wait(start: Open) -> None:
    server = start("--stall-after", "1", PADDOCK_DRAIN="60")
    response = ask(server.ready())
    assert response.readline()
    server.process.send_signal(signal.SIGTERM)
    server.until("stopping: ")
    server.process.send_signal(signal.SIGTERM)
    assert server.ended()[0] == 128 + signal.SIGTERM


def test_its_lines_can_be_json(start: Open) -> None:
    server = start(PADDOCK_LOG_JSON="1")
    assert ask(server.ready(), stream=False).read()
    lines = [json.loads(line) for line in server.output]
    assert lines[-1]["message"].startswith("listening on 127.0.0.1:")
    while (line := json.loads(server.stderr.readline()))["logger"] != "paddock":
        pass
    assert (line["path"], line["status"], line["model"]) == ("/api/chat", 200, "m")


def test_a_name_that_is_foreign_is_refused_on_loopback(start: Open) -> None:
    client = start().ready()
    client.request("GET", "/", headers={"Host": "evil.com"})
    assert client.getresponse().status == 403


def test_without_loopback_every_name_is_welcome(start: Open) -> None:
    client = start(PADDOCK_HOST="0.0.0.0:0").ready()
    client.request("GET", "/", headers={"Host": "gpu.example.com"})
    assert client.getresponse().read() == b"Ollama is running"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"PADDOCK_MAX_QUEUE": "0"}, "PADDOCK_MAX_QUEUE=0: input should be greater than"),
        ({"PADDOCK_HOST": "localhost:x"}, "'localhost:x' has no valid port"),
        ({"PADDOCK_ENGINE": "/nope"}, "engine /nope is not an executable file"),
        ({"PADDOCK_HOST": "192.0.2.1:0"}, "listen tcp 192.0.2.1:0: "),
    ],
)
def test_a_server_that_cannot_start_says_why_in_one_line(
    start: Open, settings: dict[str, str], message: str
) -> None:
    status, output = start(**settings).ended()
    assert status == 1
    [line] = output.splitlines()
    assert line.startswith(f"Error: {message}")


def test_a_port_that_is_taken_is_told_in_one_line(start: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        status, output = start(PADDOCK_HOST=address).ended()
    assert (status, output) == (1, f"Error: listen tcp {address}: Address already in use\n")
