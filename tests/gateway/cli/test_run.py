"""run: prompts, flags, streams, interrupts, against a scripted server."""

import json
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from gateway.cli.run import parse_format, parse_keep_alive, parse_think, thinking_and_content
from gateway.errors import Invalid
from tests.gateway.cli.conftest import Cli, Exchange, ScriptedServer, StartCommand

DONE = {"response": "", "done": True, "done_reason": "stop", "eval_count": 2}


def knows(server: ScriptedServer, *capabilities: str) -> None:
    server.reply("POST", "/api/show", {"capabilities": list(capabilities)})


def says(server: ScriptedServer, *texts: str) -> None:
    server.stream("/api/generate", *({"response": text} for text in texts), DONE)


def test_a_prompt_is_answered(cli: Cli, server: ScriptedServer) -> None:
    knows(server, "completion")
    says(server, "Hel", "lo\u2028", "!")
    outcome = cli("run", "m", "say", "hello")
    assert (outcome.code, outcome.out, outcome.err) == (0, "Hello\u2028!\n\n", "")
    assert server.calls() == ["POST /api/show", "POST /api/generate"]
    assert server.last("/api/generate") == {"model": "m", "prompt": "say hello"}


@pytest.mark.parametrize(
    ("stdin", "words", "prompt"),
    [
        (b"text\n", ("sum", "up"), "text\n sum up"),
        (b"text\n", (), "text\n"),
        (b"", ("hi",), "hi"),
        (b"\xff", (), "\ufffd"),
    ],
)
def test_standard_input_comes_first(
    cli: Cli, server: ScriptedServer, stdin: bytes, words: tuple[str, ...], prompt: str
) -> None:
    knows(server)
    says(server, "x")
    assert cli("run", "m", *words, stdin=stdin).code == 0
    assert server.last("/api/generate")["prompt"] == prompt


def test_without_a_prompt_the_model_is_only_loaded(cli: Cli, server: ScriptedServer) -> None:
    knows(server, "thinking")
    says(server)
    outcome = cli("run", "m")
    assert (outcome.code, outcome.out) == (0, "")
    assert server.last("/api/generate") == {"model": "m", "prompt": "", "think": True}


def test_flags_travel_with_the_request(cli: Cli, server: ScriptedServer) -> None:
    knows(server)
    says(server, "{}")
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    argv = ("--format", json.dumps(schema), "--keepalive", "5m", "--think=low", "hi")
    assert cli("run", "m", *argv).code == 0
    assert server.last("/api/generate") == {
        "model": "m",
        "prompt": "hi",
        "format": schema,
        "keep_alive": "5m",
        "think": "low",
    }


def test_a_thinking_model_runs_as_in_a_chat(cli: Cli, server: ScriptedServer) -> None:
    knows(server, "completion", "thinking")
    server.stream(
        "/api/chat",
        {"message": {"role": "assistant", "content": "", "thinking": "hm"}},
        {"message": {"role": "assistant", "content": "Hi"}},
        {"message": {"role": "assistant", "content": ""}, "done": True},
    )
    outcome = cli("run", "m", "hello")
    assert outcome.out == "Thinking...\nhm\n...done thinking.\n\nHi\n\n"
    assert server.last("/api/chat") == {
        "model": "m",
        "messages": [{"role": "user", "content": "hello"}],
        "think": True,
    }
    assert cli("run", "m", "hello", "--hidethinking").out == "Hi\n\n"
    assert cli("run", "m", "hello", "--think=false").code == 0
    assert server.last("/api/chat")["think"] is False


def test_a_model_that_is_not_there_is_pulled_first(cli: Cli, server: ScriptedServer) -> None:
    def pull(exchange: Exchange) -> None:
        knows(server, "completion")
        exchange.start()
        exchange.send(b'{"status":"pulling manifest"}\n{"status":"success"}\n')

    server.on("POST", "/api/pull", pull)
    says(server, "Hi")
    outcome = cli("run", "m", "hello", "--insecure")
    assert (outcome.code, outcome.out, outcome.err) == (0, "Hi\n\n", "pulling manifest\nsuccess\n")
    assert server.last("/api/pull") == {"model": "m", "insecure": True}
    assert server.calls() == [
        "POST /api/show",
        "POST /api/pull",
        "POST /api/show",
        "POST /api/generate",
    ]


def test_one_that_cannot_be_pulled_is_not_run(cli: Cli, server: ScriptedServer) -> None:
    error = "pull model manifest: file does not exist"
    server.stream("/api/pull", {"status": "pulling manifest"}, {"error": error})
    outcome = cli("run", "m", "hello")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == f"pulling manifest\nError: {error}\n"


def test_only_a_model_that_is_missing_is_pulled(cli: Cli, server: ScriptedServer) -> None:
    server.reply("POST", "/api/show", {"error": "invalid model name"}, status=400)
    outcome = cli("run", "a b", "hello")
    assert (outcome.code, outcome.err) == (1, "Error: invalid model name\n")
    assert server.calls() == ["POST /api/show"]


def test_verbose_shows_the_numbers_on_standard_error(cli: Cli, server: ScriptedServer) -> None:
    knows(server)
    says(server, "x")
    outcome = cli("run", "m", "hi", "--verbose")
    assert (outcome.out, outcome.err) == ("x\n\n", "eval count:           2 token(s)\n")


def test_long_lines_are_broken_on_a_terminal_only(cli: Cli, server: ScriptedServer) -> None:
    knows(server)
    words = "word " * 20
    says(server, words)
    assert cli("run", "m", "hi").out == f"{words}\n\n"
    assert cli("run", "m", "hi", "--nowordwrap", screen=True).out == f"{words}\n\n"
    lines = cli("run", "m", "hi", screen=True).out.splitlines()
    assert [line.count("word") for line in lines] == [15, 5, 0]


def test_colours_are_for_terminals_that_want_them(cli: Cli, server: ScriptedServer) -> None:
    knows(server)
    server.stream("/api/generate", {"response": "", "thinking": "hm"}, {"response": "x"}, DONE)
    assert "\x1b[38;5;245m" in cli("run", "m", "hi", screen=True).out
    assert "\x1b" not in cli("run", "m", "hi", screen=True, NO_COLOR="1").out
    assert "\x1b" not in cli("run", "m", "hi").out


def test_an_error_in_the_stream_fails_after_the_text_so_far(
    cli: Cli, server: ScriptedServer
) -> None:
    knows(server)
    server.stream("/api/generate", {"response": "Hel"}, {"error": "the engine crashed"})
    outcome = cli("run", "m", "hi")
    assert (outcome.code, outcome.out) == (1, "Hel")
    assert outcome.err == "Error: the engine crashed\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ("--think=x",),
            'invalid value for --think: "x" (must be true, false, high, medium, low, or max)',
        ),
        (("--keepalive", "5"), 'time: missing unit in duration "5"'),
        (("--keepalive", "abc"), 'time: invalid duration "abc"'),
        (
            ("--format", "xml"),
            "--format is neither json nor a JSON schema: Expecting value: line 1 column 1 (char 0)",
        ),
    ],
)
def test_a_wrong_flag_fails_before_the_model_is_used(
    cli: Cli, server: ScriptedServer, argv: tuple[str, ...], message: str
) -> None:
    outcome = cli("run", "m", "hi", *argv)
    assert (outcome.code, outcome.err) == (1, f"Error: {message}\n")
    assert server.calls() == []


def test_an_embedding_model_prints_a_vector(cli: Cli, server: ScriptedServer) -> None:
    knows(server, "embedding")
    server.reply("POST", "/api/embed", {"embeddings": [[0.25, -1, 1e-05]]})
    outcome = cli("run", "m", "some text", "--truncate=false", "--dimensions", "3")
    assert (outcome.code, outcome.out, outcome.err) == (0, "[0.25,-1,1e-05]\n", "")
    assert server.last("/api/embed") == {
        "model": "m",
        "input": "some text",
        "truncate": False,
        "dimensions": 3,
    }
    assert cli("run", "m", "x", "--keepalive", "-1m").code == 0
    assert server.last("/api/embed") == {"model": "m", "input": "x", "keep_alive": -1}


def test_an_embedding_model_needs_text(cli: Cli, server: ScriptedServer) -> None:
    knows(server, "embedding")
    assert cli("run", "m").err == (
        'Error: embedding models require input text. Usage: paddock run m "your text here"\n'
    )
    server.reply("POST", "/api/embed", {"embeddings": []})
    assert cli("run", "m", "x").err == "Error: no embeddings returned\n"


@pytest.mark.parametrize("capabilities", [("vision",), ("vision", "thinking"), ()])
def test_images_go_to_models_that_see(
    cli: Cli, server: ScriptedServer, capabilities: tuple[str, ...], tmp_path: Path
) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(b"\x89PNG\r\n\x1a\n")
    knows(server, *capabilities)
    says(server, "x")
    server.stream("/api/chat", {"message": {"content": "x"}})
    assert cli("run", "m", f"what is {image}").code == 0
    if "thinking" in capabilities:
        sent = server.last("/api/chat")["messages"][0]
        assert (sent["content"], sent["images"]) == ("what is", ["iVBORw0KGgo="])
    elif capabilities:
        sent = server.last("/api/generate")
        assert (sent["prompt"], sent["images"]) == ("what is", ["iVBORw0KGgo="])
    else:
        assert server.last("/api/generate") == {"model": "m", "prompt": f"what is {image}"}


def test_an_interrupt_ends_the_answer_without_failure(
    start_command: StartCommand, server: ScriptedServer
) -> None:
    gone = threading.Event()

    def endless(exchange: Exchange) -> None:
        exchange.start()
        exchange.send(b'{"response":"Hel"}\n')
        exchange.wait_for_hang_up()
        gone.set()

    knows(server)
    server.on("POST", "/api/generate", endless)
    process = start_command(
        "run", "m", "hi", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.read(3) == b"Hel"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20) == (b"", b"")
    assert process.returncode == 0
    assert gone.wait(20)


def test_each_piece_is_written_at_once(start_command: StartCommand, server: ScriptedServer) -> None:
    seen = threading.Event()

    def slow(exchange: Exchange) -> None:
        exchange.start()
        exchange.send(b'{"response":"one"}\n{"resp')
        assert seen.wait(20)
        exchange.send(b'onse":" two"}\n')
        exchange.wait_for_hang_up()

    knows(server)
    server.on("POST", "/api/generate", slow)
    process = start_command("run", "m", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"from a pipe")
    process.stdin.close()
    assert process.stdout.read(3) == b"one"
    seen.set()
    assert process.stdout.read(4) == b" two"
    assert server.last("/api/generate")["prompt"] == "from a pipe"


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("false", False), ("high", "high"), ("max", "max")]
)
def test_think_values(text: str, value: bool | str) -> None:
    assert parse_think(text) is value


@pytest.mark.parametrize(
    ("text", "value"), [("", None), ("json", "json"), ('{"a":1}', {"a": 1}), ("[]", [])]
)
def test_format_values(text: str, value: object) -> None:
    assert parse_format(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("", None), ("5m", "5m"), ("0", "0"), ("-1s", -1), ("1.5h", "1.5h")]
)
def test_keep_alive_values(text: str, value: str | int | None) -> None:
    assert parse_keep_alive(text) == value
    with pytest.raises(Invalid):
        parse_keep_alive(f"{text}5")


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ({"response": "a"}, ("", "a")),
        ({"response": "", "thinking": "t"}, ("t", "")),
        ({"message": {"content": "a", "thinking": "t"}}, ("t", "a")),
        ({"message": {"role": "assistant"}}, ("", "")),
        ({}, ("", "")),
    ],
)
def test_thinking_and_content_of_both_streams(
    reply: dict[str, object], expected: tuple[str, str]
) -> None:
    assert thinking_and_content(reply) == expected
