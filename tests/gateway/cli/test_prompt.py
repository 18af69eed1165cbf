"""The line editor, fed keys as a terminal sends them."""

import io
from collections.abc import Callable, Iterator

import pytest
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput
from prompt_toolkit.output.vt100 import Vt100_Output

from gateway.cli.console import Console
from gateway.cli.prompt import message_reader, terminal_output
from tests.gateway.cli.conftest import Screen

ENTER, TAB, UP, CTRL_C, CTRL_D = "\r", "\t", "\x1b[A", "\x03", "\x04"
PASTE, PASTED = "\x1b[200~", "\x1b[201~"


@pytest.fixture
def keys() -> Iterator[PipeInput]:
    with create_pipe_input() as pipe:
        yield pipe


def console(stdout: io.StringIO) -> Console:
    return Console(None, stdout, io.StringIO(), {"TERM": "xterm"})


@pytest.fixture
def read(keys: PipeInput) -> Callable[[], str]:
    return message_reader(console(io.StringIO()), input=keys, output=DummyOutput())


def test_enter_ends_a_line(keys: PipeInput, read: Callable[[], str]) -> None:
    keys.send_text(f"hello{ENTER}")
    assert read() == "hello"


def test_a_block_goes_on_until_its_mark(keys: PipeInput, read: Callable[[], str]) -> None:
    keys.send_text(f'"""one{ENTER}/bye{ENTER}two"""{ENTER}')
    assert read() == '"""one\n/bye\ntwo"""'
    keys.send_text(f'"""three"""{ENTER}')
    assert read() == '"""three"""'


def test_enter_in_a_paste_ends_nothing(keys: PipeInput, read: Callable[[], str]) -> None:
    keys.send_text(f"{PASTE}one\r\ntwo\n{PASTED}three{ENTER}")
    assert read() == "one\ntwo\nthree"


def test_the_arrow_brings_back_what_was_typed(keys: PipeInput, read: Callable[[], str]) -> None:
    for text in ("one", "two"):
        keys.send_text(text + ENTER)
        assert read() == text
    keys.send_text(f"{UP}{UP}!{ENTER}")
    assert read() == "one!"


def test_tab_completes_a_command_and_nothing_else(keys: PipeInput, read: Callable[[], str]) -> None:
    keys.send_text(f"/cl{TAB}{ENTER}")
    assert read() == "/clear"
    keys.send_text(f"say /cl{TAB}{ENTER}")
    assert read() == "say /cl"


def test_an_interrupt_drops_the_block(keys: PipeInput, read: Callable[[], str]) -> None:
    keys.send_text(f'"""one{ENTER}{CTRL_C}')
    with pytest.raises(KeyboardInterrupt):
        read()
    keys.send_text(f"two{ENTER}")
    assert read() == "two"


def test_the_end_of_input_leaves_on_an_empty_line_only(
    keys: PipeInput, read: Callable[[], str]
) -> None:
    keys.send_text(f"one{CTRL_D}{ENTER}")
    assert read() == "one"
    keys.send_text(CTRL_D)
    with pytest.raises(EOFError):
        read()


def test_the_terminal_gets_no_query_for_its_cursor(keys: PipeInput) -> None:
    screen = Screen()
    output = terminal_output(console(screen))
    assert isinstance(output, Vt100_Output)
    assert not output.responds_to_cpr
    assert (output.get_size().columns, output.get_size().rows) == (80, 24)
    read = message_reader(console(screen), input=keys)
    keys.send_text(f'"""one{ENTER}two"""{ENTER}')
    read()
    assert ">>> " in screen.getvalue()
    assert "... " in screen.getvalue()
    assert "\x1b[6n" not in screen.getvalue()
