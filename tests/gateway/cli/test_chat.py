"""The prompt loop: drafts, commands, turns, and a session on a pseudo-terminal."""

import os
import pty
import re
import select
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from gateway.cli.chat import HELP, HINT, Draft, chat, stored
from gateway.cli.client import Api, ApiError
from gateway.cli.console import Console
from gateway.cli.run import Options
from tests.gateway.cli.conftest import Child, Exchange, Screen, Server, finish

# The child leads a session of its own; this makes the terminal its controlling one.
ON_TERMINAL = (
    "import fcntl, signal, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from gateway.cli import main; sys.exit(main())"
)


def options(*capabilities: str, **members: Any) -> Options:
    plain: dict[str, Any] = {
        "model": "m",
        "capabilities": frozenset(capabilities),
        "think": None,
        "shape": None,
        "keep_alive": None,
        "hide": False,
        "wordwrap": True,
        "verbose": False,
    }
    return Options(**{**plain, **members})


class Session:
    """The loop run on typed lines, which may be exceptions to raise."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.out, self.err = Screen(), Screen()
        self.prompts: list[str] = []

    def run(self, options: Options, *typed: str | type[BaseException], **info: Any) -> int:
        left = iter(typed)

        def ask(prompt: str) -> str:
            self.prompts.append(prompt)
            line = next(left, EOFError)
            if isinstance(line, str):
                return line
            raise line

        console = Console(Screen(), self.out, self.err, {"NO_COLOR": "1"}, ask)
        with Api(self._server.url) as api:
            return chat(options, info, console, api)

    def turns(self) -> list[list[str]]:
        """What each chat request said, as `role: content`."""
        bodies = [item.json for item in self._server.requests if item.path == "/api/chat"]
        return [
            [f"{item['role']}: {item['content']}" for item in body["messages"]] for body in bodies
        ]


@pytest.fixture
def session(server: Server) -> Session:
    server.stream("/api/generate", {"done": True, "done_reason": "load"})
    server.stream("/api/chat", {"message": {"content": "fine"}}, {"message": {}, "done": True})
    return Session(server)


@pytest.mark.parametrize(
    ("lines", "messages"),
    [
        (["hello"], ["hello"]),
        (['"""hello"""'], ["hello"]),
        (['"""one', "two", 'three"""'], [None, None, "one\ntwo\nthree"]),
        (['"""', "", 'x"""', "y"], [None, None, "\n\nx", "y"]),
        (['"""one', '"""'], [None, "one\n"]),
        (['say """'], ['say """']),
        ([""], [""]),
    ],
)
def test_a_draft_is_a_line_or_a_block(lines: list[str], messages: list[str | None]) -> None:
    draft = Draft()
    assert [draft.feed(line) for line in lines] == messages
    assert not draft.open


def test_a_block_that_is_dropped_leaves_nothing() -> None:
    draft = Draft()
    draft.feed('"""one')
    assert draft.open
    draft.reset()
    assert draft.feed("two") == "two"


def test_stored_messages_look_typed() -> None:
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "ho"},
    ]
    assert stored(messages) == ">>> hi\nho\n\n"


def test_a_conversation_remembers_its_turns(session: Session, server: Server) -> None:
    assert session.run(options(keep_alive="5m"), "one", "  ", "two") == 0
    assert session.turns() == [
        ["user: one"],
        ["user: one", "assistant: fine", "user: two"],
    ]
    assert session.out.getvalue() == "fine\n\nfine\n\n\n"
    assert server.calls() == ["POST /api/generate", "POST /api/chat", "POST /api/chat"]
    assert server.last("/api/generate") == {"model": "m", "prompt": "", "keep_alive": "5m"}
    assert server.last("/api/chat")["keep_alive"] == "5m"


@pytest.mark.parametrize("word", ["/bye", "/exit", "/bye now"])
def test_leaving(session: Session, word: str) -> None:
    assert session.run(options(), word, "never") == 0
    assert session.turns() == []
    assert session.prompts == [">>> "]


def test_clearing_forgets_the_conversation(session: Session) -> None:
    session.run(options(), "one", "/clear", "two")
    assert session.turns() == [["user: one"], ["user: two"]]
    assert session.out.getvalue() == "fine\n\nCleared session context\nfine\n\n\n"


def test_commands_that_only_print(session: Session) -> None:
    session.run(options(), "/?", "/help", "/nope x", "/")
    assert session.turns() == []
    assert session.out.getvalue() == (
        "Unknown command '/nope'. Type /? for help\nUnknown command '/'. Type /? for help\n\n"
    )
    assert session.err.getvalue().count(HELP) == 2


def test_a_block_is_one_message_even_with_slashes(session: Session) -> None:
    session.run(options(), '"""one', "/bye", 'two"""')
    assert session.turns() == [["user: one\n/bye\ntwo"]]
    assert session.prompts == [">>> ", "... ", "... ", ">>> "]


def test_an_interrupt_at_the_prompt_drops_the_block(session: Session) -> None:
    session.run(options(), '"""one', KeyboardInterrupt, "two")
    assert session.turns() == [["user: two"]]
    assert session.prompts == [">>> ", "... ", ">>> ", ">>> "]
    assert session.out.getvalue() == f"\n{HINT}\nfine\n\n\n"


def test_thinking_goes_back_with_the_next_turn(session: Session, server: Server) -> None:
    server.stream("/api/chat", {"message": {"thinking": "hm"}}, {"message": {"content": "Hi"}})
    session.run(options("thinking", think=True, hide=True), "one", "two")
    assert server.last("/api/chat") == {
        "model": "m",
        "think": True,
        "messages": [
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "Hi", "thinking": "hm"},
            {"role": "user", "content": "two"},
        ],
    }
    assert session.out.getvalue() == "Hi\n\nHi\n\n\n"


def test_stored_messages_are_shown_and_not_sent(session: Session) -> None:
    session.run(options(), "one", messages=[{"role": "user", "content": "hi"}])
    assert session.out.getvalue().startswith(">>> hi\n")
    assert session.turns() == [["user: one"]]


def test_a_wrong_think_value_is_told_and_forgotten(session: Session, server: Server) -> None:
    server.reply("POST", "/api/chat", {"error": '"m" does not support thinking'}, status=400)
    assert session.run(options(), "one", "two") == 0
    assert session.turns() == [["user: one"], ["user: two"]]
    assert 'error: 400 Bad Request: "m" does not support thinking\n' in session.err.getvalue()


def test_another_error_ends_the_session(session: Session, server: Server) -> None:
    server.reply("POST", "/api/chat", {"error": "boom"}, status=500)
    with pytest.raises(ApiError) as caught:
        session.run(options(), "one", "two")
    assert caught.value.message == "500 Internal Server Error: boom"


def test_verbose_adds_the_numbers_to_every_answer(session: Session, server: Server) -> None:
    server.stream("/api/chat", {"message": {"content": "x"}, "eval_count": 3, "done": True})
    session.run(options(verbose=True), "one")
    assert session.err.getvalue().endswith("eval count:           3 token(s)\n")


def test_an_image_path_is_no_command_for_a_model_that_sees(
    session: Session, server: Server, tmp_path: Any
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

    def interrupt(self, process: "subprocess.Popen[bytes]") -> None:
        """Ctrl+C at the prompt, once it is read from.

        Between showing a prompt and waiting for a key Python's readline is deaf to signals.
        """
        while psutil.Process(process.pid).status() != psutil.STATUS_SLEEPING:
            select.select([], [], [], 0.005)
        self.type("\x03")

    def expect(self, pattern: str) -> None:
        """Read until `pattern` shows up in what was not yet matched."""
        deadline = time.monotonic() + 30
        while not (found := re.search(pattern, self.text)):
            left = deadline - time.monotonic()
            assert select.select([self._master], [], [], max(0, left))[0], repr(self.text)
            self.text += os.read(self._master, 65536).decode("utf-8", "replace")
        self.text = self.text[found.end() :]


Start = Callable[..., tuple["subprocess.Popen[bytes]", Terminal]]


@pytest.fixture
def on_terminal(child: Child) -> Iterator[Start]:
    """Start `paddock run m` as the foreground of a pseudo-terminal of 80 by 24."""
    opened: list[int] = []

    def start(*argv: str) -> tuple["subprocess.Popen[bytes]", Terminal]:
        master, slave = pty.openpty()
        opened.append(master)
        process = child(
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


def test_a_session_on_a_terminal(session: Session, server: Server, on_terminal: Start) -> None:
    server.reply("POST", "/api/show", {"capabilities": ["completion"]})
    process, terminal = on_terminal()
    terminal.expect(">>> ")
    terminal.type("hello\n")
    terminal.expect("fine\r\n\r\n(.*)>>> ")
    terminal.interrupt(process)
    terminal.expect(re.escape(HINT))
    terminal.expect(">>> ")
    terminal.type("/clear\n")
    terminal.expect("Cleared session context")
    terminal.expect(">>> ")
    terminal.type("\x04")
    terminal.expect("\r\n")
    assert process.wait(20) == 0
    assert session.turns() == [["user: hello"]]


def test_an_interrupt_aborts_the_answer_only(
    session: Session, server: Server, on_terminal: Start
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
    terminal.expect(">>> ")
    terminal.type("one\n")
    terminal.expect("partial")
    terminal.type("\x03")
    assert gone.wait(20)
    terminal.expect("\r\n(.*)>>> ")
    terminal.type("two\n")
    terminal.expect("done now")
    terminal.expect(">>> ")
    terminal.type("/bye\n")
    assert process.wait(20) == 0
    assert session.turns() == [["user: one"], ["user: one", "user: two"]]


def test_a_prompt_on_a_terminal_is_answered_once(server: Server, on_terminal: Start) -> None:
    server.reply("POST", "/api/show", {"capabilities": []})
    server.stream("/api/generate", {"response": "a b " * 30})
    process, terminal = on_terminal("hello")
    terminal.expect("(a b ){18}a b\r\n(a b )+\r\n\r\n")
    assert process.wait(20) == 0
    assert server.calls() == ["POST /api/show", "POST /api/generate"]
