"""The console: what counts as a terminal, and what is read from a pipe."""

import io

import pytest

from gateway.cli.console import Console, dimensions, is_terminal
from tests.gateway.cli.conftest import Screen


def console(stdin: io.TextIOWrapper | Screen | None, out: io.StringIO, **environ: str) -> Console:
    return Console(stdin, out, io.StringIO(), environ)


def pipe(data: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(data))


def test_only_two_terminals_are_interactive() -> None:
    assert console(Screen(), Screen()).interactive
    assert not console(Screen(), io.StringIO()).interactive
    assert not console(pipe(b""), Screen()).interactive
    assert not console(None, Screen()).interactive


def test_a_closed_stream_is_no_terminal() -> None:
    screen = Screen()
    screen.close()
    assert not is_terminal(screen)


@pytest.mark.parametrize(("value", "color"), [(None, True), ("", True), ("1", False)])
def test_no_color_is_respected(value: str | None, color: bool) -> None:
    environ = {} if value is None else {"NO_COLOR": value}
    assert console(None, Screen(), **environ).color is color


def test_a_file_gets_no_color() -> None:
    assert not console(None, io.StringIO()).color


def test_a_pipe_is_read_whole_and_a_terminal_is_not() -> None:
    assert console(pipe(b"a\nb\xff"), Screen()).piped() == b"a\nb\xff"
    assert console(Screen("typed"), Screen()).piped() == b""
    assert console(None, Screen()).piped() == b""


def test_without_a_terminal_the_size_is_80_by_24() -> None:
    assert dimensions(io.StringIO()) == (80, 24)


def test_data_and_notes_go_to_different_streams() -> None:
    out, err = io.StringIO(), io.StringIO()
    here = Console(None, out, err, {})
    here.out("data")
    here.note("note")
    assert (out.getvalue(), err.getvalue()) == ("data", "note\n")
