"""Answers as terminal text: wrapping, thinking, statistics."""

import pytest

from gateway.cli.render import AnswerRenderer, WordWrap, statistics


def screen(written: str, width: int) -> list[str]:
    """What a terminal shows after `written`: the few codes `WordWrap` uses are carried out."""
    rows = [""]
    at = 0
    while at < len(written):
        if written.startswith("\x1b[K", at):
            at += 3
        elif written.startswith("\x1b[", at):
            end = written.index("D", at)
            rows[-1] = rows[-1][: -int(written[at + 2 : end])]
            at = end + 1
        elif written[at] == "\n":
            rows.append("")
            at += 1
        else:
            rows[-1] += written[at]
            assert len(rows[-1]) <= width
            at += 1
    return rows


def test_a_word_that_would_stick_out_is_moved_down() -> None:
    assert WordWrap(20).feed("one two three four five") == (
        "one two three f\x1b[1D\x1b[K\nfour five"
    )


def test_a_blank_at_the_edge_becomes_the_break() -> None:
    assert WordWrap(20).feed("abcde fghi jklm nop") == "abcde fghi jklm\nnop"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_the_pieces_of_a_stream_do_not_matter(size: int) -> None:
    text = "The quick brown fox jumps over the lazy dog, twice.\n\nThen it rests for a while."
    wrap = WordWrap(24)
    written = "".join(wrap.feed(text[at : at + size]) for at in range(0, len(text), size))
    assert screen(written, 24) == [
        "The quick brown fox",
        "jumps over the lazy",
        "dog, twice.",
        "",
        "Then it rests for a",
        "while.",
    ]


def test_a_word_longer_than_a_line_is_left_to_the_terminal() -> None:
    word = "x" * 50
    assert WordWrap(20).feed(word) == word


def test_wide_characters_count_twice_and_break_anywhere() -> None:
    assert WordWrap(20).feed("\u6a21" * 9) == "\u6a21" * 7 + "\x1b[K\n" + "\u6a21" * 2


def test_a_newline_starts_counting_again() -> None:
    assert WordWrap(20).feed("abcdefghijklmn\nabcdefghijklmn") == "abcdefghijklmn\nabcdefghijklmn"


def test_a_tiny_terminal_gets_the_text_as_it_is() -> None:
    assert WordWrap(9).feed("one two three") == "one two three"


def test_thinking_is_set_apart_in_plain_text() -> None:
    renderer = AnswerRenderer()
    pieces = [("", ""), ("hm", ""), ("m", ""), ("", "Hi"), ("", " you")]
    assert [renderer.feed(*piece) for piece in pieces] == [
        "",
        "Thinking...\nhm",
        "m",
        "\n...done thinking.\n\nHi",
        " you",
    ]
    assert renderer.finish() == ""
    assert (renderer.thinking, renderer.content) == ("hmm", "Hi you")


def test_thinking_that_ends_its_line_gets_no_second_newline() -> None:
    renderer = AnswerRenderer()
    assert renderer.feed("hm\n", "Hi") == "Thinking...\nhm\n...done thinking.\n\nHi"


def test_thinking_is_grey_on_a_terminal() -> None:
    renderer = AnswerRenderer(color=True)
    assert renderer.feed("hm", "") == ("\x1b[38;5;245m\x1b[1mThinking...\n\x1b[0m\x1b[38;5;245mhm")
    assert renderer.feed("", "Hi") == ("\n\x1b[38;5;245m\x1b[1m...done thinking.\n\n\x1b[0mHi")
    assert renderer.finish() == ""


def test_an_answer_cut_off_while_thinking_resets_the_colour() -> None:
    renderer = AnswerRenderer(color=True)
    renderer.feed("hm", "")
    assert renderer.finish() == "\x1b[0m"


def test_hidden_thinking_is_kept_and_not_shown() -> None:
    renderer = AnswerRenderer(hide=True, color=True)
    assert renderer.feed("hm", "") == ""
    assert renderer.feed("", "Hi") == "Hi"
    assert renderer.thinking == "hm"


def test_the_answer_starts_on_a_fresh_line_after_thinking() -> None:
    renderer = AnswerRenderer(wrap=WordWrap(20))
    renderer.feed("a b c d e", "")
    assert renderer.feed("", "one two three") == "\n...done thinking.\n\none two three"


@pytest.mark.parametrize(
    ("final", "text"),
    [
        ({}, ""),
        (
            {
                "total_duration": 1_234_567_891,
                "load_duration": 456_789_000,
                "prompt_eval_count": 7,
                "prompt_eval_duration": 3_500_000,
                "eval_count": 32,
                "eval_duration": 182_500_000_000,
            },
            "total duration:       1.234567891s\n"
            "load duration:        456.789ms\n"
            "prompt eval count:    7 token(s)\n"
            "prompt eval duration: 3.5ms\n"
            "prompt eval rate:     2000.00 tokens/s\n"
            "eval count:           32 token(s)\n"
            "eval duration:        3m2.5s\n"
            "eval rate:            0.18 tokens/s\n",
        ),
        (
            {"eval_count": 3, "total_duration": 12_500},
            "total duration:       12.5\u00b5s\neval count:           3 token(s)\n",
        ),
    ],
)
def test_statistics(final: dict[str, object], text: str) -> None:
    assert statistics(final) == text
