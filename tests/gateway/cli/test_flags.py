"""Flags and words, with the messages cobra and pflag give."""

import pytest

from gateway.cli.flags import Arguments, Flag, parse, switch
from gateway.errors import Invalid

FLAGS = (
    Flag("file", "", short="f"),
    Flag("think", "", bare="true"),
    Flag("dimensions", "", kind="int"),
    switch("verbose", "", short="v"),
    switch("quiet", "", short="q"),
)


@pytest.mark.parametrize(
    ("argv", "words", "flags"),
    [
        ("a b", ("a", "b"), {}),
        ("a -v b", ("a", "b"), {"verbose": True}),
        ("--verbose=false a", ("a",), {"verbose": False}),
        ("-v=0", (), {"verbose": False}),
        ("-vq", (), {"verbose": True, "quiet": True}),
        ("-f x", (), {"file": "x"}),
        ("-fx", (), {"file": "x"}),
        ("-f=x", (), {"file": "x"}),
        ("-qf x", (), {"file": "x", "quiet": True}),
        ("-f -", (), {"file": "-"}),
        ("--file --verbose", (), {"file": "--verbose"}),
        ("--file=a=b", (), {"file": "a=b"}),
        ("--file=", (), {"file": ""}),
        ("--file a --file b", (), {"file": "b"}),
        ("--think low", ("low",), {"think": "true"}),
        ("--think=low", (), {"think": "low"}),
        ("--dimensions 8", (), {"dimensions": 8}),
        ("a -- --file -v", ("a", "--file", "-v"), {}),
        ("-", ("-",), {}),
        ("-h", (), {"help": True}),
    ],
)
def test_words_and_flags_are_told_apart(
    argv: str, words: tuple[str, ...], flags: dict[str, str | int | bool]
) -> None:
    assert parse(argv.split(), FLAGS) == Arguments(words, flags)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--foo", "unknown flag: --foo"),
        ("--foo=1", "unknown flag: --foo"),
        ("-x", "unknown shorthand flag: 'x' in -x"),
        ("-vxy", "unknown shorthand flag: 'x' in -xy"),
        ("--file", "flag needs an argument: --file"),
        ("-f", "flag needs an argument: 'f' in -f"),
        ("--=x", "bad flag syntax: --=x"),
        ("---x", "bad flag syntax: ---x"),
        (
            "--dimensions abc",
            'invalid argument "abc" for "--dimensions" flag: '
            'strconv.ParseInt: parsing "abc": invalid syntax',
        ),
        (
            "-v=maybe",
            'invalid argument "maybe" for "-v, --verbose" flag: '
            'strconv.ParseBool: parsing "maybe": invalid syntax',
        ),
    ],
)
def test_a_mistake_has_its_message(argv: str, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(argv.split(), FLAGS)
    assert caught.value.message == message


def test_arguments_answer_for_flags_that_were_not_given() -> None:
    arguments = parse(["--dimensions", "3", "--think"], FLAGS)
    assert arguments.number("dimensions") == 3
    assert arguments.text("think") == "true"
    assert arguments.given("think")
    assert not arguments.given("file")
    assert arguments.text("file") == ""
    assert not arguments.on("verbose")
    assert Arguments(()).number("dimensions") == 0
