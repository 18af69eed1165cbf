"""Forms with files in them."""

import contextlib

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.transcription.multipart import FormField, read_form
from gateway.errors import Invalid

TYPE = "multipart/form-data; boundary=b"
REFUSED = "failed to parse multipart form: "


def part(name: str, data: str, more: str = "") -> str:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{data}\r\n'


def parsed(body: str, content_type: str = TYPE) -> list[FormField]:
    return [*read_form(body.encode(), content_type)]


def test_fields_and_files_by_their_names() -> None:
    body = part("model", "m") + part("file", "RIFF", '; filename="a \\"b\\".wav"') + "--b--\r\n"
    assert parsed(body) == [FormField("model", b"m"), FormField("file", b"RIFF", file=True)]


def test_more_headers_a_preamble_and_an_epilogue_do_not_count() -> None:
    head = 'content-type: audio/wav\r\ncontent-disposition: form-data; name=file; filename=""'
    body = f"before\r\n--b  \r\n{head}\r\n\r\n\r\nx\r\n\r\n--b--\r\nafter"
    assert parsed(body, 'Multipart/Form-Data; charset=x; boundary="b"') == [
        FormField("file", b"\r\nx\r\n", file=True)
    ]


def test_fields_of_one_name_are_kept() -> None:
    assert parsed(part("a", "1") + part("a", "2") + "--b--") == [
        FormField("a", b"1"),
        FormField("a", b"2"),
    ]


@pytest.mark.parametrize(
    ("disposition", "name", "file"),
    [
        ("form-data; name=a", "a", False),
        ("Form-Data ; NAME = a ; filename=x", "a", True),
        ('form-data; name="a;b=c"', "a;b=c", False),
        ('form-data; filename="; name=x"; name=a', "a", True),
        ("form-data; name=a; filename*=utf-8''x", "a", True),
        ("form-data; name=a; filename*=undefined''x", "a", True),
        (f"form-data; name=a; filename*{'9' * 5000}=x", "a", False),
        ('form-data;\r\n\tname="a\\\\"', "a\\", False),
        ("form-data; name=a; name=b", "a", False),
        ('form-data; name=""', "", False),
        ("form-data; name=a; what is this", "a", False),
    ],
)
def test_names_however_they_are_written(disposition: str, name: str, file: bool) -> None:
    body = f"--b\r\nContent-Disposition: {disposition}\r\n\r\nx\r\n--b--"
    assert parsed(body) == [FormField(name, b"x", file)]


def test_as_many_fields_as_anybody_needs() -> None:
    assert len(parsed(part("a", "") * 256 + "--b--")) == 256
    with pytest.raises(Invalid, match="message too large"):
        parsed(part("a", "") * 257 + "--b--")


def test_text_that_is_not_utf8_is_marked() -> None:
    assert FormField("a", "ä€".encode()).text == "ä€"
    assert FormField("a", b"a\xffb").text == "a\ufffdb"


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        ("", TYPE, "multipart: NextPart: EOF"),
        ("no boundary", TYPE, "multipart: NextPart: EOF"),
        (part("a", "1"), TYPE, "unexpected EOF"),
        (part("a", "1") + "--b", TYPE, "unexpected EOF"),
        ("--b\r\nno head\r\n--b--", TYPE, "malformed MIME header"),
        ("--bc\r\n" + part("a", "1")[5:] + "--b--", TYPE, "malformed MIME header"),
        ("--b\r\nA: b\r\n\r\nx\r\n--b--", TYPE, "a part is not form-data"),
        (part("a", "1").replace("form-data", "file") + "--b--", TYPE, "a part is not form-data"),
        (part("a", "1").replace("; name=", "; name*=") + "--b--", TYPE, "a part is not form-data"),
        (part("a", "1").replace('"a"', '"a') + "--b--", TYPE, "a part is not form-data"),
        (part("a", "1", ";" * 20_000) + "--b--", TYPE, "malformed MIME header"),
        ("{}", "application/json", "request Content-Type isn't multipart/form-data"),
        ("{}", "", "request Content-Type isn't multipart/form-data"),
        *(
            ("{}", f"multipart/form-data{more}", "no multipart boundary param in Content-Type")
            for more in ("", "; boundary=", "; boundary*=undefined''b", "; boundary=é", ";;;")
        ),
    ],
)
def test_broken_forms_are_refused(body: str, content_type: str, message: str) -> None:
    with pytest.raises(Invalid) as error:
        parsed(body, content_type)
    assert error.value.message == REFUSED + message


@given(st.binary(max_size=60), st.text("abc/.é ", min_size=1, max_size=9))
def test_what_clients_send_arrives(data: bytes, filename: str) -> None:
    sent = httpx.Request("POST", "http://x", data={"a": "1"}, files={"file": (filename, data)})
    result = read_form(sent.read(), sent.headers["content-type"])
    assert result == [FormField("a", b"1"), FormField("file", data, file=True)]


@given(st.binary(max_size=80))
def test_no_body_is_worse_than_refused(data: bytes) -> None:
    for body in (data, b"--b" + data, b"--b\r\n" + data + b"\r\n--b--"):
        with contextlib.suppress(Invalid):
            assert all(field.data in body for field in read_form(body, TYPE))
