"""The prompt loop: blocks, commands, turns, and a session on a pseudo-terminal."""

import os
import pty
import re
import select
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.client import Api, ServerError
from gateway.cli.console import Console
from gateway.cli.repl import (
    HELP,
    HINT,
    chat,
    is_open_block,
    stored_conversation,
    without_marks,
)
from gateway.cli.run import RunOptions
from tests.gateway.cli.conftest import Exchange, Screen, ScriptedServer, StartCommand, finish

# The process leads a session of its own; this makes the terminal its controlling one.
ON_TERMINAL = (
    "import fcntl, signal, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from gateway.cli import main; sys.exit(main())"
)


def options(*capabilities: str, **fields: Any) -> RunOptions:
    return RunOptions("m", frozenset(capabilities), **fields)


class Session:
    """The loop run on typed messages, which may be exceptions to raise."""

    def __init__(self, server: ScriptedServer) -> None:
        self._server = server
        self.out, self.err = Screen(), Screen()
        self.left: list[str | type[BaseException]] = []

    def run(self, options: RunOptions, *typed: str | type[BaseException], **info: object) -> None:
        self.left = [*typed, EOFError]

        def read_message() -> str:
            message = self.left.pop(0)
            if isinstance(message, str):
                return message
            raise message

        console = Console(Screen(), self.out, self.err, {"NO_COLOR": "1"})
        with Api(self._server.url) as api:
            chat(options, info, read_message, console, api)

    def turns(self) -> list[list[str]]:
        """The messages of each chat request, as `role: content`."""
        bodies = [item.json for item in self._server.requests if item.path == "/api/chat"]
        return [
            [f"{item['role']}: {item['content']}" for item in body["messages"]] for body in bodies
        ]


@pytest.fixture
def session(server: ScriptedServer) -> Session:
    server.stream("/api/generate", {"done": True, "done_reason": "load"})
    server.stream("/api/chat", {"message": {"content": "fine"}}, {"message": {}, "done": True})
    return Session(server)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello", "hello"),
        ('"""hello"""', "hello"),
        ('"""one\ntwo\nthree"""', "one\ntwo\nthree"),
        ('"""\n\nx"""', "\n\nx"),
        ('"""one\n"""', "one\n"),
        ('""""""', ""),
        ('say """', 'say """'),
        ("", ""),
    ],
)
def test_a_message_is_a_line_or_a_block(text: str, message: str) -> None:
    assert not is_open_block(text)
    assert without_marks(text) == message


@pytest.mark.parametrize(
    "text", ['"""', '"""one', '"""one\n', '"""one""" and more', '"""one\ntwo', '""""', '"""""']
)
def test_a_block_is_open_until_a_mark_ends_it(text: str) -> None:
    assert is_open_block(text)


def test_stored_messages_look_typed() -> None:
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "ho"},
    ]
    assert stored_conversation({"messages": messages}) == ">>> hi\nho\n\n"


def test_a_conversation_remembers_its_turns(session: Session, server: ScriptedServer) -> None:
    session.run(options(keep_alive="5m"), "one", "  ", "two")
    assert session.turns() == [
        ["user: one"],
        ["user: one", "assistant: fine", "user: two"],
    ]
    assert session.out.getvalue() == "fine\n\nfine\n\n"
    assert server.calls() == ["POST /api/generate", "POST /api/chat", "POST /api/chat"]
    assert server.last("/api/generate") == {"model": "m", "prompt": "", "keep_alive": "5m"}
    assert server.last("/api/chat")["keep_alive"] == "5m"


@pytest.mark.parametrize("word", ["/bye", "/exit", "/bye now"])
def test_leaving(session: Session, word: str) -> None:
    session.run(options(), word, "never")
    assert session.turns() == []
    assert session.left == ["never", EOFError]


def test_clearing_forgets_the_conversation(session: Session) -> None:
    session.run(options(), "one", "/clear", "two")
    assert session.turns() == [["user: one"], ["user: two"]]
    assert session.out.getvalue() == "fine\n\nCleared session context\nfine\n\n"


def test_commands_that_only_print(session: Session) -> None:
    session.run(options(), "/?", "/help", "/nope x", "/")
    assert session.turns() == []
    assert session.out.getvalue() == (
        "Unknown command '/nope'. Type /? for help\nUnknown command '/'. Type /? for help\n"
    )
    assert session.err.getvalue().count(HELP) == 2


def test_a_block_is_one_message_even_with_slashes(session: Session) -> None:
    session.run(options(), '"""one\n/bye\ntwo"""', '"""/bye"""')
    assert session.turns()[0] == ["user: one\n/bye\ntwo"]
    assert session.turns()[1][-1] == "user: /bye"


def test_an_interrupt_at_the_prompt_is_answered_with_the_way_out(session: Session) -> None:
    session.run(options(), KeyboardInterrupt, "two")
    assert session.turns() == [["user: two"]]
    assert session.out.getvalue() == f"\n{HINT}\nfine\n\n"


def test_thinking_goes_back_with_the_next_turn(session: Session, server: ScriptedServer) -> None:
    server.stream("/api/chat", {"message": {"thinking": "hm"}}, {"message": {"content": "Hi"}})
    session.run(options("thinking", think=True, hide_thinking=True), "one", "two")
    assert server.last("/api/chat") == {
        "model": "m",
        "think": True,
        "messages": [
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "Hi", "thinking": "hm"},
            {"role": "user", "content": "two"},
        ],
    }
    assert session.out.getvalue() == "Hi\n\nHi\n\n"


def test_stored_messages_are_shown_and_not_sent(session: Session) -> None:
    session.run(options(), "one", messages=[{"role": "user", "content": "hi"}])
    assert session.out.getvalue().startswith(">>> hi\n")
    assert session.turns() == [["user: one"]]


def test_a_wrong_think_value_is_reported_and_forgotten(
    session: Session, server: ScriptedServer
) -> None:
    server.reply("POST", "/api/chat", {"error": '"m" does not support thinking'}, status=400)
    session.run(options(), "one", "two")
    assert session.turns() == [["user: one"], ["user: two"]]
    assert 'error: 400 Bad Request: "m" does not support thinking\n' in session.err.getvalue()


def test_another_error_ends_the_session(session: Session, server: ScriptedServer) -> None:
    server.reply("POST", "/api/chat", {"error": "boom"}, status=500)
    with pytest.raises(ServerError) as caught:
        session.run(options(), "one", "two")
    assert caught.value.message == "500 Internal Server Error: boom"


def test_verbose_adds_the_numbers_to_every_answer(session: Session, server: ScriptedServer) -> None:
    server.stream("/api/chat", {"message": {"content": "x"}, "eval_count": 3, "done": True})
    session.run(options(verbose=True), "one")
    assert session.err.getvalue().endswith("eval count:           3 token(s)\n")


def test_an_image_path_is_no_command_for_a_model_that_sees(
    session: Session, server: ScriptedServer, tmp_path: Path
) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(b"\x89PNG\r\n\x1a\n")
    session.run(options("vision"), f"{image} what is this")
    assert server.last("/api/chat")["messages"] == [
        {"role": "user", "content": "what is this", "images": ["iVBORw0KGgo="]}
    ]
    session.run(options(), f"{image} what is this")
    assert f"Unknown command '{image}'" in session.out.getvalue()


class Terminal:
    """The other end of a pseudo-terminal."""

    def __init__(self, master: int) -> None:
        self._master = master
        self.text = ""

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def expect(self, pattern: str) -> None:
        """Read until `pattern` shows up in what was not yet matched."""
        deadline = time.monotonic() + 30
        while not (match := re.search(pattern, self.text)):
            left = deadline - time.monotonic()
            assert select.select([self._master], [], [], max(0, left))[0], repr(self.text)
            self.text += os.read(self._master, 65536).decode("utf-8", "replace")
        self.text = self.text[match.end() :]


StartOnTerminal = Callable[..., tuple["subprocess.Popen[bytes]", Terminal]]


@pytest.fixture
def on_terminal(start_command: StartCommand) -> Iterator[StartOnTerminal]:
    """Start `paddock run m` as the foreground of a pseudo-terminal of 80 by 24."""
    opened: list[int] = []

    def start(*argv: str) -> tuple["subprocess.Popen[bytes]", Terminal]:
        master, slave = pty.openpty()
        opened.append(master)
        process = start_command(
            *("run", "m", *argv),
            start=ON_TERMINAL,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            environ={"TERM": "xterm", "NO_COLOR": "1"},
        )
        os.close(slave)
        return process, Terminal(master)

    yield start
    for master in opened:
        os.close(master)


def test_a_session_on_a_terminal(
    session: Session, server: ScriptedServer, on_terminal: StartOnTerminal
) -> None:
    server.reply("POST", "/api/show", {"capabilities": ["completion"]})
    process, terminal = on_terminal()
    terminal.expect(">>>")
    terminal.type("hello\r")
    terminal.expect("fine\r\n\r\n(.*)>>>")
    terminal.type("\x03")
    terminal.expect(re.escape(HINT))
    terminal.expect(">>>")
    terminal.type("/clear\r")
    terminal.expect("Cleared session context")
    terminal.expect(">>>")
    terminal.type("\x04")
    assert process.wait(20) == 0
    assert session.turns() == [["user: hello"]]


def test_an_interrupt_aborts_the_answer_only(
    session: Session, server: ScriptedServer, on_terminal: StartOnTerminal
) -> None:
    gone = threading.Event()
    answers = iter(["endless", "short"])

    def answer(exchange: Exchange) -> None:
        if next(answers) == "short":
            finish(exchange, 200, b'{"message":{"content":"done now"},"done":true}\n')
            return
        exchange.start()
        exchange.send(b'{"message":{"content":"partial"}}\n')
        exchange.wait_for_hang_up()
        gone.set()

    server.reply("POST", "/api/show", {"capabilities": []})
    server.on("POST", "/api/chat", answer)
    process, terminal = on_terminal()
    terminal.expect(">>>")
    terminal.type("one\r")
    terminal.expect("partial")
    terminal.type("\x03")
    assert gone.wait(20)
    terminal.expect("\r\n(.*)>>>")
    terminal.type("two\r")
    terminal.expect("done now")
    terminal.expect(">>>")
    terminal.type("/bye\r")
    assert process.wait(20) == 0
    assert session.turns() == [["user: one"], ["user: one", "user: two"]]


def test_a_prompt_on_a_terminal_is_answered_once(
    server: ScriptedServer, on_terminal: StartOnTerminal
) -> None:
    server.reply("POST", "/api/show", {"capabilities": []})
    server.stream("/api/generate", {"response": "a b " * 30})
    process, terminal = on_terminal("hello")
    terminal.expect("(a b ){18}a b\r\n(a b )+\r\n\r\n")
    assert process.wait(20) == 0
    assert server.calls() == ["POST /api/show", "POST /api/generate"]
