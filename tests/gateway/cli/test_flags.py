"""Flags and words as Ollama reads them: attached values, joined letters, flags before the name."""

import click
import pytest

from gateway.cli.flags import CommandTree, FlagCommand, attach_values, switch


@click.command(cls=FlagCommand)
@click.argument("words", nargs=-1)
@click.option("-f", "--file")
@click.option("--think", is_flag=False, flag_value="true")
@click.option("--dimensions", type=int)
@switch("-v", "--verbose", default=None, help="")
@switch("-q", "--quiet", default=None, help="")
def command(**values: object) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}


def parse(argv: str) -> dict[str, object]:
    """What the command receives; its words are under `words`."""
    with command.make_context("command", argv.split()) as context:
        values: dict[str, object] = command.invoke(context)
    return values


@pytest.mark.parametrize(
    ("argv", "words", "flags"),
    [
        ("a b", ("a", "b"), {}),
        ("a -v b", ("a", "b"), {"verbose": True}),
        ("a b --verbose", ("a", "b"), {"verbose": True}),
        ("--verbose=false a", ("a",), {"verbose": False}),
        ("-v=0", (), {"verbose": False}),
        ("-v false", ("false",), {"verbose": True}),
        ("--verbose --verbose=false", (), {"verbose": False}),
        ("-vq", (), {"verbose": True, "quiet": True}),
        ("-vq=false a", ("a",), {"verbose": True, "quiet": False}),
        ("-f x", (), {"file": "x"}),
        ("-fx", (), {"file": "x"}),
        ("-f=x", (), {"file": "x"}),
        ("-fv", (), {"file": "v"}),
        ("-qf x", (), {"file": "x", "quiet": True}),
        ("-f -", (), {"file": "-"}),
        ("--file --verbose", (), {"file": "--verbose"}),
        ("--file -- -v", (), {"file": "--", "verbose": True}),
        ("--file=a=b", (), {"file": "a=b"}),
        ("--file=", (), {"file": ""}),
        ("--file a --file b", (), {"file": "b"}),
        ("--think low", ("low",), {"think": "true"}),
        ("low --think", ("low",), {"think": "true"}),
        ("--think=low", (), {"think": "low"}),
        ("--think --verbose", (), {"think": "true", "verbose": True}),
        ("--dimensions 8", (), {"dimensions": 8}),
        ("--dimensions -8", (), {"dimensions": -8}),
        ("a -- --file -v --think", ("a", "--file", "-v", "--think"), {}),
        ("-", ("-",), {}),
    ],
)
def test_words_and_flags_are_separated(
    argv: str, words: tuple[str, ...], flags: dict[str, str | int | bool]
) -> None:
    assert parse(argv) == {"words": words, **flags}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--foo", "No such option '--foo'."),
        ("--foo=1", "No such option '--foo'."),
        ("-x", "No such option '-x'."),
        ("-vxy", "No such option '-x'."),
        ("--file", "Option '--file' requires an argument."),
        ("-f", "Option '-f' requires an argument."),
        ("--=x", "No such option '--'."),
        ("---x", "No such option '---x'."),
        ("--dimensions abc", "Invalid value for '--dimensions': 'abc' is not a valid integer."),
        ("-v=maybe", "Invalid value for '-v' / '--verbose': 'maybe' is not a valid boolean."),
    ],
)
def test_a_mistake_is_named(argv: str, message: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        parse(argv)
    assert caught.value.format_message().partition(" Recognized")[0] == message


def test_arguments_of_a_command_without_flags_stay_as_they_are() -> None:
    words = ["-v", "--think", "a=b", "-f=x", "--", "-q"]
    assert attach_values(words, []) == words


@click.group(cls=CommandTree)
def tree() -> None: ...


@tree.command()
@switch("--loud", help="")
def serve(loud: bool) -> str:
    return f"served {loud}"


@tree.command("list")
def list_() -> str:
    return "listed"


@pytest.mark.parametrize(
    ("argv", "result"),
    [
        ("serve", "served False"),
        ("start --loud", "served True"),
        ("--loud serve", "served True"),
        ("list", "listed"),
        ("ls", "listed"),
    ],
)
def test_commands_have_aliases_and_may_follow_their_flags(argv: str, result: str) -> None:
    with tree.make_context("tree", argv.split()) as context:
        assert tree.invoke(context) == result


def test_commands_keep_the_order_of_their_declaration() -> None:
    assert tree.list_commands(click.Context(tree)) == ["serve", "list"]
