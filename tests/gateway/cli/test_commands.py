"""The table of commands: every entry leads somewhere, and mistakes are explained."""

from importlib import import_module

import pytest

from gateway.cli.commands import COMMANDS, Command, distance, find, suggestions
from gateway.errors import Invalid


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_has_its_function(command: Command) -> None:
    module, _, function = command.run.partition(":")
    assert callable(getattr(import_module(f"gateway.cli.{module}"), function))


@pytest.mark.parametrize(("name", "found"), [("list", "list"), ("ls", "list"), ("start", "serve")])
def test_a_command_is_found_by_name_or_alias(name: str, found: str) -> None:
    assert find(name).name == found


def test_an_unknown_command_is_met_with_what_was_meant() -> None:
    with pytest.raises(Invalid) as caught:
        find("lits")
    assert caught.value.message == (
        'unknown command "lits" for "paddock"\n\nDid you mean this?\n\tlist'
    )


def test_an_unknown_command_like_no_other_gets_no_suggestion() -> None:
    with pytest.raises(Invalid) as caught:
        find("frobnicate")
    assert caught.value.message == 'unknown command "frobnicate" for "paddock"'


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("creat", ["create"]),
        ("SHOW", ["show", "stop"]),
        ("ver", ["version"]),
        ("xyzzy", []),
    ],
)
def test_suggestions_start_alike_or_are_two_edits_away(typed: str, near: list[str]) -> None:
    assert suggestions(typed) == near


@pytest.mark.parametrize(
    ("left", "right", "edits"),
    [("", "", 0), ("", "ab", 2), ("ab", "ab", 0), ("ab", "ba", 2), ("lst", "list", 1)],
)
def test_distance_counts_edits(left: str, right: str, edits: int) -> None:
    assert distance(left, right) == distance(right, left) == edits


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("serve", ("x",), "accepts 0 arg(s), received 1"),
        ("create", (), "accepts 1 arg(s), received 0"),
        ("show", ("a", "b"), "accepts 1 arg(s), received 2"),
        ("cp", ("a",), "accepts 2 arg(s), received 1"),
        ("run", (), "requires at least 1 arg(s), only received 0"),
        ("rm", (), "requires at least 1 arg(s), only received 0"),
    ],
)
def test_a_wrong_number_of_words_is_refused(
    name: str, words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(Invalid) as caught:
        find(name).check(words)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("name", "words"), [("list", ()), ("list", ("a", "b")), ("run", ("a", "b")), ("cp", ("a", "b"))]
)
def test_a_right_number_of_words_is_fine(name: str, words: tuple[str, ...]) -> None:
    find(name).check(words)
