"""Thinking separated from text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.templates.reasoning import ReasoningParser, partial_tag_length

PIECES = st.lists(
    st.sampled_from(["<think>", "</think>", "<", "</", "th", "ink>", ">", " ", "\n", "a", "é", ""]),
    max_size=12,
)


def read(pieces: list[str], *, inside: bool = False) -> tuple[str, str]:
    parser = ReasoningParser("<think>", "</think>", inside=inside)
    both = [parser.feed(piece) for piece in pieces] + [parser.flush()]
    return "".join(thinking for thinking, _ in both), "".join(text for _, text in both)


@pytest.mark.parametrize(
    ("output", "thinking", "text"),
    [
        ("<think>one two</think>three", "one two", "three"),
        (" \n<think>\n one \n</think>\n\n three\n", "one \n", "three\n"),
        ("no <think>tags</think>", "", "no <think>tags</think>"),
        ("  text", "", "  text"),
        ("<think></think>text", "", "text"),
        ("<think>a</think>b<think>c</think>", "a", "b<think>c</think>"),
        ("<think>a<think>b</think>", "a<think>b", ""),
        ("<think>cut short", "cut short", ""),
        ("<think>cut within </thi", "cut within </thi", ""),
        (" <thi", "", " <thi"),
        (" \n", "", " \n"),
        ("<thing>", "", "<thing>"),
        ("<think>a </ b</think> c", "a </ b", "c"),
        ("", "", ""),
    ],
)
def test_thinking_is_what_stands_between_the_tags(output: str, thinking: str, text: str) -> None:
    assert read([output]) == (thinking, text)


@pytest.mark.parametrize(
    ("output", "thinking", "text"),
    [
        ("\n\none</think>\n\ntwo", "one", "two"),
        ("</think>two", "", "two"),
        ("one", "one", ""),
    ],
)
def test_a_prompt_may_have_opened_the_thinking(output: str, thinking: str, text: str) -> None:
    assert read([output], inside=True) == (thinking, text)


def test_what_is_certain_is_given_at_once() -> None:
    parser = ReasoningParser("<think>", "</think>")
    pieces = ["<th", "ink>", "\n", "one", " </", "b", "</think", ">", " ", "two", " <", "think>"]
    assert [parser.feed(piece) for piece in pieces] == [
        ("", ""),
        ("", ""),
        ("", ""),
        ("one", ""),
        (" ", ""),
        ("</b", ""),
        ("", ""),
        ("", ""),
        ("", ""),
        ("", "two"),
        ("", " <"),
        ("", "think>"),
    ]
    assert parser.flush() == ("", "")


@given(PIECES, st.booleans())
def test_pieces_do_not_matter(pieces: list[str], inside: bool) -> None:
    assert read(pieces, inside=inside) == read(["".join(pieces)], inside=inside)


@given(PIECES)
def test_nothing_but_tags_and_white_space_is_lost(pieces: list[str]) -> None:
    output = "".join(pieces)
    kept = "".join(read(pieces))
    lost = len("".join(output.split())) - len("".join(kept.split()))
    assert lost in (0, len("<think>"), len("<think></think>"))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", 0),
        ("text", 0),
        ("a <", 1),
        ("<think", 6),
        ("<think>", 0),
        ("<<th", 3),
        ("<th ", 0),
    ],
)
def test_the_end_of_a_text_may_begin_a_tag(text: str, size: int) -> None:
    assert partial_tag_length(text, "<think>") == size


def test_a_tag_of_one_character_has_no_beginning() -> None:
    assert partial_tag_length("{", "{") == 0
