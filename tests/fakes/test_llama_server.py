"""The fake engine does what its flags say, and speaks like the real one."""

import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any, cast

import pytest

from tests.fakes.engine import Plan, fake_engine, fit_lines

ASKED = {"messages": [{"role": "user", "content": "hi there"}], "stream": True}
CHAT = "/v1/chat/completions"
EXIT_LINE = b"cmd_router_to_child:exit\n"
PATIENCE = 20.0


class Client(http.client.HTTPConnection):
    """HTTP over a UNIX socket."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self.host)

    def reply(self) -> tuple[int, Any]:
        response = self.getresponse()
        return response.status, json.loads(response.read())

    def rest(self) -> bytes:
        """The bytes until the other side closes."""
        received = b""
        while data := self.sock.recv(1 << 20):
            received += data
        return received


class Child:
    """A started fake and the socket it listens on."""

    def __init__(self, room: Path, *behaviour: str, argv: tuple[str, ...] = (), env: str = "1"):
        self.path = str(room / "s.sock")
        Path(self.path).unlink(missing_ok=True)
        program = str(fake_engine(room / "engine", *behaviour))
        self.process = subprocess.Popen(
            [program, "--host", self.path, "--model", str(room / "m"), *argv],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | ({"LLAMA_SERVER_ROUTER_PORT": env} if env else {}),
        )
        self.stdin = cast(IO[bytes], self.process.stdin)
        self.stdout = cast(IO[bytes], self.process.stdout)
        self.stderr = cast(IO[bytes], self.process.stderr)

    def reported(self) -> Any:
        """What the next state line says."""
        line = self.stdout.readline().strip() or self.stdout.readline()
        return json.loads(line.removeprefix(b"cmd_child_to_router:state:"))

    def up(self) -> "Child":
        """Wait until it is ready."""
        while (reported := self.reported())["state"] != "ready":
            pass
        self.about = reported["payload"]
        return self

    def ended(self) -> tuple[int, str]:
        """Exit status and what was printed on stderr."""
        status = self.process.wait(PATIENCE)
        return status, self.stderr.read().decode()

    def ask(self, method: str, target: str, body: Any = None) -> Client:
        client = Client(self.path)
        client.request(method, target, body if isinstance(body, bytes) else json.dumps(body))
        return client

    def reply(self, method: str, target: str, body: Any = None) -> tuple[int, Any]:
        with closing(self.ask(method, target, body)) as client:
            return client.reply()

    def stream(self, target: str, body: Any) -> list[list[Any]]:
        """The events of a reply, by HTTP chunk; the connection must end with it."""
        with closing(self.ask("POST", target, body)) as client:
            return events(client.rest())

    def record(self, key: str, value: int) -> Any:
        """What the fake recorded, once the count `key` has this value."""
        limit = time.monotonic() + PATIENCE
        while (reported := self.reply("GET", "/fake")[1])[key] != value:
            assert time.monotonic() < limit, reported
        return reported


def events(received: bytes) -> list[list[Any]]:
    """The events of every HTTP chunk of a whole, well-formed stream."""
    head, _, rest = received.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    chunks: list[list[Any]] = []
    while rest != b"0\r\n\r\n":
        size, _, rest = rest.partition(b"\r\n")
        at = int(size, 16)
        chunk, end, rest = rest[:at], rest[at : at + 2], rest[at + 2 :]
        assert (chunk[-2:], end) == (b"\n\n", b"\r\n")
        lines = [text.removeprefix(b"data: ") for text in chunk[:-2].split(b"\n\n")]
        chunks.append([text if text == b"[DONE]" else json.loads(text) for text in lines])
    return chunks


Start = Callable[..., Child]


@pytest.fixture
def room() -> Iterator[Path]:
    """A folder with a short path: a socket's name holds about 100 bytes."""
    with tempfile.TemporaryDirectory(prefix="fake") as folder:
        yield Path(folder)


@pytest.fixture
def start(room: Path) -> Iterator[Start]:
    """Starts a fake, without waiting for it; it ends with the test."""
    children: list[Child] = []

    def start(*behaviour: str, **more: Any) -> Child:
        children.append(Child(room, *behaviour, **more))
        return children[-1]

    yield start
    for child in children:
        child.process.kill()
        with child.process:
            pass


def test_listens_and_answers_503_before_the_model_is_loaded(start: Start) -> None:
    child = start("--never-ready")
    assert child.reported()["payload"]["value"] == 0.0
    loading = {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}
    assert child.reply("GET", "/health") == (503, loading)
    assert child.reply("POST", CHAT, ASKED) == (503, loading)
    child.process.terminate()
    assert child.ended()[0] == -signal.SIGTERM  # the default action: no handler is there yet


def test_tells_its_state_on_stdout(start: Start) -> None:
    child = start("--load", "0.3", argv=("--alias", "zebra,ant", "-np", "2", "-c", "1000"))
    values = [child.reported()["payload"]["value"] for _ in range(3)]
    assert values == pytest.approx([0.0, 2 / 3, 1.0])
    reported = child.up().about
    assert (reported["id"], reported["aliases"], reported["meta"]["n_ctx"]) == (
        "ant",
        ["ant", "zebra"],
        512,
    )
    assert reported["meta"].keys() >= {"n_ctx_train", "n_embd", "n_params", "size", "n_vocab"}
    assert child.reply("GET", "/props")[1]["total_slots"] == 2


@pytest.mark.parametrize(("flags", "env"), [((), ""), (("--no-protocol",), "1")])
def test_is_silent_without_the_protocol(start: Start, flags: tuple[str, ...], env: str) -> None:
    child = start("--chatty", "1", *flags, env=env)
    child.stderr.readline()
    while (answered := child.reply("GET", "/health"))[0] == 503:
        pass
    assert answered == (200, {"status": "ok"})
    child.process.terminate()
    assert (child.ended()[0], child.stdout.read()) == (0, b"")


def test_ends_when_told(start: Start) -> None:
    child = start().up()
    child.stdin.write(EXIT_LINE)
    assert child.ended() == (0, "")
    child = start().up()
    child.stdin.close()
    assert child.ended() == (1, "")
    child = start().up()
    child.process.terminate()
    assert child.ended() == (0, "")


def test_can_be_deaf_to_everything_but_sigkill(start: Start) -> None:
    child = start("--ignore-term").up()
    child.process.terminate()
    child.stdin.write(EXIT_LINE)
    child.stdin.close()
    assert child.reply("GET", "/health")[0] == 200
    child.process.kill()
    assert child.ended()[0] == -signal.SIGKILL


DEATHS = [(["--exit-on-load", "3"], 3), (["--illegal"], -4), (["--crash-when-idle"], -6)]


@pytest.mark.parametrize(("flags", "status"), DEATHS)
def test_dies_at_load_with_last_words(start: Start, flags: list[str], status: int) -> None:
    child = start(*flags, "--say", "error loading model: x", "--chatty", "500")
    assert child.ended() == (
        status,
        "load_tensors: another line\n" * 500 + "error loading model: x\n",
    )


def test_fails_only_the_first_time(start: Start, room: Path) -> None:
    mark = room / "tried"
    assert start("--fail-first", str(mark)).ended()[0] == 1
    assert start("--fail-first", str(mark)).up().about


def test_crashes_when_the_trigger_appears_and_removes_it(start: Start, room: Path) -> None:
    child = start("--crash-when-idle", "--trigger", str(room / "now")).up()
    assert child.reply("GET", "/health")[0] == 200
    (room / "now").touch()
    assert child.ended()[0] == -signal.SIGABRT
    assert not (room / "now").exists()


def test_chat_stream_has_the_shape_of_the_real_one(start: Start) -> None:
    child = start("--reply", "Hi you", argv=("--alias", "abc")).up()
    wishes = {"return_progress": True, "stream_options": {"include_usage": True}}
    *progress, first, second, finish, done = child.stream(CHAT, ASKED | wishes)
    marks = [event.pop("prompt_progress") for [event] in progress]
    assert (marks[0]["processed"], marks[-1]["processed"]) == (0, 2)
    assert marks[0].keys() == {"total", "cache", "processed", "time_ms"}
    tail = {key: progress[0][0][key] for key in ("created", "id")}
    tail |= {"model": "abc", "system_fingerprint": "b1-0c1e570", "object": "chat.completion.chunk"}

    def delta(value: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return {"choices": [{"finish_reason": reason, "index": 0, "delta": value}], **tail}

    role = delta({"role": "assistant", "content": None})
    assert progress[0] == [role]
    assert first == [role, delta({"content": "Hi "})]
    assert second == [delta({"content": "you"})]
    timings = finish[1].pop("timings")
    assert (timings["cache_n"], timings["prompt_n"], timings["predicted_n"]) == (0, 2, 3)
    usage = {"completion_tokens": 3, "prompt_tokens": 2, "total_tokens": 5}
    all_usage = {"usage": usage | {"prompt_tokens_details": {"cached_tokens": 0}}}
    assert finish == [delta({}, "stop"), {"choices": [], **tail, **all_usage}]
    assert done == [b"[DONE]"]


def test_a_limit_ends_the_stream_by_length_and_tokens_take_their_time(start: Start) -> None:
    child = start("--tokens", "7", "--interval", "0.01").up()
    *output, [finish], _ = child.stream(CHAT, ASKED | {"max_tokens": 6})
    words = [chunk[-1]["choices"][0]["delta"]["content"] for chunk in output]
    assert words == ["Hello ", "from ", "the ", "fake ", "engine.", "Hello "]
    assert finish["choices"][0]["finish_reason"] == "length"
    assert finish["timings"]["predicted_n"] == 6
    assert finish["timings"]["predicted_ms"] >= 60


def test_completions_have_their_shapes_and_token_numbers_detokenize(start: Start) -> None:
    child = start("--reply", "Hi you", argv=("--alias", "abc")).up()
    *output, [last] = child.stream("/completion", {"prompt": "a b c", "stream": True})
    reported = [(event["content"], event["tokens_predicted"], event["stop"]) for [event] in output]
    assert reported == [("Hi ", 1, False), ("you", 2, False), ("", 3, False)]
    ids = [token for [event] in output for token in event["tokens"]]
    assert child.reply("POST", "/detokenize", {"tokens": ids}) == (200, {"content": "Hi you"})
    assert child.reply("POST", "/tokenize", {"content": "Hi you"}) == (200, {"tokens": ids[:2]})
    assert (last["stop"], last["stop_type"], last["model"]) == (True, "eos", "abc")
    assert (last["tokens_evaluated"], last["timings"]["prompt_n"]) == (3, 3)
    short = {"prompt": ids, "n_predict": 1, "response_fields": ["content", "prompt", "stop_type"]}
    kept = {"content": "Hi ", "prompt": "Hi you", "stop_type": "limit"}
    assert child.reply("POST", "/completion", short) == (200, kept)
    *output, [last], done = child.stream("/v1/completions", {"prompt": "a", "stream": True})
    assert [event["choices"][0]["text"] for [event] in output] == ["Hi ", "you", ""]
    assert last["choices"][0]["finish_reason"] == "stop"
    assert (last["usage"]["total_tokens"], last["timings"]["prompt_n"]) == (4, 1)
    assert done == [b"[DONE]"]


def test_a_whole_reply_keeps_the_connection_until_asked_to_close(start: Start) -> None:
    child = start().up()
    with closing(child.ask("POST", CHAT, ASKED | {"stream": False})) as client:
        message = client.reply()[1]["choices"][0]["message"]
        assert message == {"role": "assistant", "content": "Hello from the fake engine."}
        client.sock.sendall(b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")
        head, body = client.rest().split(b"\r\n\r\n")
    assert (head.split(b"\r\n")[-1], body) == (b"Connection: close", b'{"status":"ok"}')


def test_template_and_embeddings_depend_on_the_text_alone(start: Start) -> None:
    child = start(argv=("--alias", "abc")).up()
    prompt = "<|im_start|>user\nhi there<|im_end|>\n<|im_start|>assistant\n"
    assert child.reply("POST", "/apply-template", ASKED) == (200, {"prompt": prompt})
    status, reported = child.reply("POST", "/v1/embeddings", {"input": ["x", "y", "x"]})
    first, second, third = (entry["embedding"] for entry in reported["data"])
    assert (status, reported["model"], reported["usage"]["prompt_tokens"]) == (200, "abc", 3)
    assert first == third != second
    assert sum(value * value for value in first) == pytest.approx(1.0)


def test_refuses_as_the_real_one_does(start: Start) -> None:
    child = start(argv=("-np", "1", "-c", "256")).up()
    assert child.reply("GET", "/nope")[0] == 404
    assert child.reply("POST", CHAT, {})[0] == 400
    assert child.reply("POST", CHAT, b"{")[1]["error"]["type"] == "server_error"
    status, reported = child.reply("POST", "/completion", {"prompt": "a " * 300})
    assert (status, reported["error"]["type"]) == (400, "exceed_context_size_error")
    assert (reported["error"]["n_prompt_tokens"], reported["error"]["n_ctx"]) == (300, 256)


def test_a_waiting_request_gets_the_slot_of_a_client_that_left(start: Start) -> None:
    child = start("--stall-after", "2", argv=("-np", "1", "--quiet")).up()
    with closing(child.ask("POST", CHAT, ASKED)) as first:
        assert first.sock.recv(15) == b"HTTP/1.1 200 OK"
        second = child.ask("POST", CHAT, ASKED | {"seed": 2})
        reported = child.record("waiting", 1)
        assert (reported["active"], reported["cancelled"], reported["finished"]) == (1, 0, 0)
    with closing(second):
        assert second.sock.recv(15) == b"HTTP/1.1 200 OK"
        reported = child.record("cancelled", 1)
    assert (reported["active"], reported["waiting"], reported["paths"]) == (1, 0, [CHAT, CHAT])
    assert reported["requests"] == [ASKED, ASKED | {"seed": 2}]
    assert reported["argv"][-3:] == ["-np", "1", "--quiet"]
    assert (reported["pid"], "LLAMA_SERVER_ROUTER_PORT" in reported["env"]) == (
        child.process.pid,
        True,
    )
    assert child.record("active", 0)["cancelled"] == 2


@pytest.mark.parametrize("name", ["SIGKILL", "SIGABRT"])
def test_a_crash_cuts_the_stream_after_so_many_tokens(start: Start, name: str) -> None:
    child = start("--crash-after", "2", "--crash-signal", name, "--say", "CUDA error: x").up()
    with closing(child.ask("POST", CHAT, ASKED)) as client:
        received = client.rest()
    assert received.count(b'"content":"') == 2
    assert not received.endswith(b"0\r\n\r\n")
    assert child.ended() == (-getattr(signal, name), "CUDA error: x\n")


def test_an_engine_error_is_an_event_after_the_first_token_and_a_500_before(start: Start) -> None:
    error = {"error": {"code": 500, "message": "Compute error.", "type": "server_error"}}
    child = start("--error-after", "1").up()
    assert child.stream(CHAT, ASKED)[1:] == [[error]]
    child = start("--error-after", "0").up()
    assert child.reply("POST", CHAT, ASKED) == (500, error)
    assert child.record("active", 0)["finished"] == 0


def test_a_long_prompt_reports_its_progress(start: Start) -> None:
    child = start("--prefill", "0.16").up()
    long = {"prompt": "word " * 1000, "stream": True, "return_progress": True}
    chunks = child.stream("/completion", long)
    marks = [event["prompt_progress"] for [event] in chunks if "prompt_progress" in event]
    done = [mark["processed"] for mark in marks]
    assert (done, done[0], done[-1], len(done) > 2) == (sorted(done), 0, 1000, True)
    assert marks[-1]["time_ms"] >= 160
    assert chunks[-1][0]["timings"]["prompt_ms"] == 160


def test_a_reader_that_sleeps_does_not_stop_the_generation(start: Start) -> None:
    child = start("--tokens", "5000").up()
    with closing(child.ask("POST", CHAT, ASKED)) as client:
        child.record("finished", 1)
        assert client.rest().count(b'"content":"') == 5000


def test_a_file_beside_the_model_adds_behaviour(start: Start, room: Path) -> None:
    (room / "m.behaviour").write_text('["--exit-on-load", "7"]')
    assert start("--say", "sorry").ended() == (7, "sorry\n")


def test_shares_the_memory_among_the_devices_in_use() -> None:
    plan = Plan(["--fit", "100", "20", "8", "--devices", "CUDA0:X:1:1;CUDA1:Y:1:1"])
    assert fit_lines(plan, []) == "CUDA0 50 10 4 \nCUDA1 50 10 4 \nHost 0 0 0 \n"
    assert fit_lines(plan, ["-dev", "CUDA1"]) == "CUDA1 100 20 8 \nHost 0 0 0 \n"
    assert fit_lines(plan, ["-dev", "none"]) == "Host 100 20 8 \n"
    assert fit_lines(plan, ["-ngl", "0"]) == "Host 100 20 8 \n"


TWO = ["--devices", "CUDA0:NVIDIA X:24000:23000;CUDA1:Y:8:7"]
LISTED = "  CUDA0: NVIDIA X (24000 MiB, 23000 MiB free)\n  CUDA1: Y (8 MiB, 7 MiB free)\n"


@pytest.mark.parametrize(
    ("name", "flags", "argv", "printed"),
    [
        ("llama-server", [], ["--list-devices"], ("Available devices:\n  (none)\n", "")),
        ("llama-server", TWO, ["--list-devices"], ("Available devices:\n" + LISTED, "")),
        ("llama-server", [], ["--version"], ("", "version: 0.5.0-dev (build 1, commit 0c1e570)\n")),
        ("llama-fit-params", ["--fit", "9", "8", "7"], ["-fitp", "on"], ("Host 9 8 7 \n", "")),
        ("llama-server", [], ["--host", "/dev/null"], ("", "couldn't bind HTTP server socket\n")),
        ("llama-server", ["--lod", "1"], [], ("", "no such behaviour: --lod\n")),
    ],
)
def test_an_engine_folder_holds_programs_that_answer_and_end(
    room: Path, name: str, flags: list[str], argv: list[str], printed: tuple[str, str]
) -> None:
    folder = fake_engine(room / "engine", *flags).parent
    done = subprocess.run([folder / name, *argv], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == printed
    assert json.loads((folder / "engine.json").read_text())["version"] == "fake"
