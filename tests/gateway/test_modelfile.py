"""Modelfiles: the values and messages that Ollama's own parser produces."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Invalid
from gateway.modelfile import Instruction, decode, parse, quote, render, typed

COMMAND_ERROR = (
    'command must be one of "from", "license", "template", "system", "adapter", "draft", '
    '"renderer", "parser", "parameter", "message", or "requires"'
)


def system(text: str) -> str:
    return parse(f"FROM x\nSYSTEM {text}").last("system")


def refused(text: str) -> str:
    with pytest.raises(Invalid) as caught:
        parse(text)
    return caught.value.message


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("abc", "abc"),
        ('"abc"', "abc"),
        ('"""abc"""', "abc"),
        ('""a""', '"a"'),
        ("'abc'", "'abc'"),
        ('"a\nb"', "a\nb"),
        ('"""\nx\n"""', "\nx\n"),
        ('a "b" c', 'a "b" c'),
        ('"a" b\nSYSTEM c"', 'a" b\nSYSTEM c'),
        ('""', ""),
        ('""""""', ""),
        ("# not comment", "# not comment"),
        ("  a\t ", "a"),
        ('" a "', " a "),
        ('"""one "two" three"""  ', 'one "two" three'),
        ('"""a\r\nb"""', "a\r\nb"),
        ("a\u200b\u00a0b\u3000c\x07", "abc"),
        ("", ""),
    ],
)
def test_a_value_is_read(written: str, value: str) -> None:
    assert system(written) == value


def test_a_backslash_does_not_continue_a_line() -> None:
    parsed = parse("FROM x\nSYSTEM a\\\nLICENSE b")
    assert parsed.last("system") == "a\\"
    assert parsed.last("license") == "b"


def test_commands_are_read_in_any_case_after_blanks_and_comments() -> None:
    parsed = parse("# FROM y\n\n \t from x\n\t# c\nPaRaMeTeR stop a b \nmessage user  hi: you ")
    assert parsed.instructions == (
        Instruction("from", "x"),
        Instruction("parameter", "a b", key="stop"),
        Instruction("message", "hi: you", key="user"),
    )


@pytest.mark.parametrize("text", ["FROM x", "FROM x\n", "FROM x\r\n", "\ufeffFROM x", "FROM\tx"])
def test_the_smallest_modelfiles(text: str) -> None:
    assert parse(text).instructions == (Instruction("from", "x"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no FROM line"),
        ("# FROM x", "no FROM line"),
        ("SYSTEM x", "no FROM line"),
        ("FOO x", f"(line 1): {COMMAND_ERROR}"),
        ("FROM\nx", f"(line 2): {COMMAND_ERROR}"),
        ("FROM x\n\nSYSTEM\n", f"(line 4): {COMMAND_ERROR}"),
        ("FROM x\r\nFOO y", f"(line 3): {COMMAND_ERROR}"),
        ("FROM x\nSYSTEM a\\\nb c", f"(line 3): {COMMAND_ERROR}"),
        ("FROM x\nFR2M y", f"(line 2): {COMMAND_ERROR}"),
        (
            "FROM x\nMESSAGE User hi",
            '(line 2): message role must be one of "system", "user", or "assistant"',
        ),
        (
            "FROM x\nMESSAGE  user hi",
            '(line 2): message role must be one of "system", "user", or "assistant"',
        ),
        ("FROM x\nPARAMETER temp-x 1", "unexpected EOF: temp"),
        ("FROM x\nPARAMETER stop\n", "unexpected EOF: stop"),
        ("FROM x\nMESSAGE user: hi", "unexpected EOF: user"),
        ("FROM", "unexpected EOF"),
        ("FROM x\nPARAMETER stop", "unexpected EOF"),
        ("FROM x\nMESSAGE user", "unexpected EOF"),
        ('FROM x\nSYSTEM "a', "unexpected EOF"),
        ('FROM x\nSYSTEM "', "unexpected EOF"),
        ('FROM x\nSYSTEM """"', "unexpected EOF"),
        ('FROM x\nSYSTEM """\na\n"', "unexpected EOF"),
    ],
)
def test_a_mistake_has_its_message(text: str, message: str) -> None:
    assert refused(text) == message


def test_repeats_gather_or_the_last_one_counts() -> None:
    parsed = parse(
        "FROM a\nFROM b\nSYSTEM one\nSYSTEM two\nLICENSE x\nLICENSE y\n"
        "MESSAGE user hi\nMESSAGE assistant ho: ho\nPARAMETER stop A\nPARAMETER seed 1\n"
        'PARAMETER stop "B "\nPARAMETER seed 2\nPARAMETER top_p 0.9\nPARAMETER use_mmap T'
    )
    assert parsed.every("from") == ("a", "b")
    assert parsed.last("system") == "two"
    assert parsed.every("license") == ("x", "y")
    assert parsed.last("template") == ""
    assert parsed.messages() == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "ho: ho"},
    ]
    assert parsed.parameters() == {"stop": ["A", "B "], "seed": 2, "top_p": 0.9, "use_mmap": True}


def test_deprecated_parameters_are_named_and_dropped() -> None:
    parsed = parse("FROM x\nPARAMETER mirostat 2\nPARAMETER low_vram zzz\nPARAMETER seed 1")
    assert parsed.deprecated() == ("mirostat", "low_vram")
    assert parsed.parameters() == {"seed": 1}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("num_ctx", "4096", 4096),
        ("num_gpu", "-1", -1),
        ("seed", "+7", 7),
        ("seed", "9223372036854775807", 9223372036854775807),
        ("temperature", "0.7", 0.7),
        ("temperature", "1", 1),
        ("temperature", "1e3", 1000),
        ("temperature", ".5", 0.5),
        ("top_p", "-2.5e-1", -0.25),
        ("top_p", "0x1p-2", 0.25),
        ("min_p", "0.123456789", 0.12345679),
        ("min_p", "3.4028235e38", 3.4028235e38),
        ("min_p", "1e-7", 1e-07),
        ("use_mmap", "True", True),
        ("use_mmap", "0", False),
    ],
)
def test_a_parameter_has_its_type(name: str, text: str, value: int | float | bool) -> None:
    value_read = typed(name, text)
    assert value_read == value
    assert type(value_read) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        *[
            ("num_ctx", text, f"invalid int value [{text}]")
            for text in ("1.5", "1e3", "0x10", "1_000", "", "9223372036854775808", "\u0663")
        ],
        *[
            ("temperature", text, f"invalid float value [{text}]")
            for text in (
                "a",
                "",
                ".",
                "1e",
                "inf",
                "NaN",
                "1e39",
                "1e999",
                "0x1p9999",
                "0x1",
                "1__0",
            )
        ],
        ("use_mmap", "yes", "invalid bool value [yes]"),
        ("Temperature", "1", "unknown parameter 'Temperature'"),
        ("", "num_ctx 1", "unknown parameter ''"),
    ],
)
def test_a_wrong_parameter_is_refused(name: str, text: str, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        typed(name, text)
    assert caught.value.message == message


def test_two_blanks_after_parameter_give_it_an_empty_name() -> None:
    with pytest.raises(Invalid, match="unknown parameter ''"):
        parse("FROM x\nPARAMETER  seed 1").parameters()


@pytest.mark.parametrize(
    ("text", "version"),
    [("0.14.0", "0.14.0"), ("v0.14", "0.14"), ("1", "1"), ("1.2.3-rc.1+b", "1.2.3-rc.1+b")],
)
def test_requires_is_a_version(text: str, version: str) -> None:
    assert parse(f"FROM x\nREQUIRES {text}").requires() == version


@pytest.mark.parametrize("text", ["", "v", "x", "1.2.3.4", "01.2", "1.2-rc", "vv1"])
def test_requires_refuses_what_is_no_version(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(f"FROM x\nREQUIRES {text}\n").requires()
    assert caught.value.message == "requires must be a valid semver (e.g. 0.14.0)"


def test_without_requires_there_is_no_version() -> None:
    assert parse("FROM x").requires() == ""


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"FROM \xc3\xa9", "FROM \u00e9"),
        (b"\xef\xbb\xbfFROM x", "FROM x"),
        (b"\xff\xfeF\x00\xe9\x00", "F\u00e9"),
        (b"\xfe\xff\x00F\x00\xe9", "F\u00e9"),
        (b"a\xffb", "a\ufffdb"),
    ],
)
def test_bytes_become_text(data: bytes, text: str) -> None:
    assert decode(data) == text


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("abc", "abc"),
        ("<|im_end|>", "<|im_end|>"),
        ('say "hi"', 'say "hi"'),
        ("a\nb", '"a\nb"'),
        (" a", '" a"'),
        ("a ", '"a "'),
        ('a\n"b"', '"""a\n"b""""'),
        ('"a', '""""a"""'),
        ("", ""),
    ],
)
def test_a_value_is_quoted_only_when_it_must_be(value: str, written: str) -> None:
    assert quote(value) == written


def test_instructions_are_written_one_after_another() -> None:
    text = render(
        [
            Instruction("from", "/a b/c"),
            Instruction("template", "{{ .Prompt }}\n"),
            Instruction("parameter", "<|im_end|>", key="stop"),
            Instruction("message", 'say\n"hi"', key="user"),
            Instruction("system", ""),
        ]
    )
    assert text == (
        'FROM /a b/c\nTEMPLATE "{{ .Prompt }}\n"\nPARAMETER stop <|im_end|>\n'
        'MESSAGE user """say\n"hi""""\nSYSTEM \n'
    )
    assert render(parse(text).instructions) == text


@given(st.text(alphabet=' ab"\n\r\t#').filter(lambda text: '"""' not in text))
@settings(deadline=None)
def test_what_is_written_is_read_back(value: str) -> None:
    written = [Instruction("from", "x"), Instruction("system", value), Instruction("license", "y")]
    assert parse(render(written)).instructions == tuple(written)
