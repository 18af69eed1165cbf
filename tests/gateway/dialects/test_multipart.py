"""Forms with files in them."""

import contextlib

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.multipart import Field, form
from gateway.errors import Invalid

TYPE = "multipart/form-data; boundary=b"
REFUSED = "failed to parse multipart form: "


def part(name: str, data: str, more: str = "") -> str:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{data}\r\n'


def parsed(body: str, content_type: str = TYPE) -> dict[str, Field]:
    return dict(form(body.encode(), content_type))


def test_fields_and_files_by_their_names() -> None:
    body = part("model", "m") + part("file", "RIFF", '; filename="a \\"b\\".wav"') + "--b--\r\n"
    assert parsed(body) == {"model": Field(b"m"), "file": Field(b"RIFF", 'a "b".wav')}


def test_more_headers_a_preamble_and_an_epilogue_do_not_count() -> None:
    head = 'content-type: audio/wav\r\ncontent-disposition: form-data; name=file; filename=""'
    body = f"before\r\n--b  \r\n{head}\r\n\r\n\r\nx\r\n\r\n--b--\r\nafter"
    assert parsed(body, 'Multipart/Form-Data; charset=x; boundary="b"') == {
        "file": Field(b"\r\nx\r\n", "")
    }


def test_of_one_name_the_first_counts() -> None:
    assert parsed(part("a", "1") + part("a", "2") + "--b--") == {"a": Field(b"1")}


def test_text_that_is_not_utf8_is_marked() -> None:
    assert Field("ä€".encode()).text == "ä€"
    assert Field(b"a\xffb").text == "a\ufffdb"


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
        ("{}", "application/json", "request Content-Type isn't multipart/form-data"),
        ("{}", "", "request Content-Type isn't multipart/form-data"),
        ("{}", "multipart/form-data", "no multipart boundary param in Content-Type"),
    ],
)
def test_broken_forms_are_refused(body: str, content_type: str, message: str) -> None:
    with pytest.raises(Invalid) as error:
        parsed(body, content_type)
    assert error.value.message == REFUSED + message


@given(st.binary(max_size=60), st.text("abc/.é ", max_size=9))
def test_what_clients_send_arrives(data: bytes, filename: str) -> None:
    sent = httpx.Request("POST", "http://x", data={"a": "1"}, files={"file": (filename, data)})
    found = form(sent.read(), sent.headers["content-type"])
    assert found["file"].data == data
    assert found["a"] == Field(b"1")


@given(st.binary(max_size=80))
def test_no_body_is_worse_than_refused(data: bytes) -> None:
    for body in (data, b"--b" + data, b"--b\r\n" + data + b"\r\n--b--"):
        with contextlib.suppress(Invalid):
            assert all(field.data in body for field in form(body, TYPE).values())
