"""The framing of replies."""

from gateway.api.reply import PLAIN_JSON, empty, json_reply


def test_a_json_reply_is_one_document_without_a_newline() -> None:
    response = json_reply({"b": "<é>", "a": None}, 404, headers={"x-a": "b"})
    assert response.body == '{"b":"\\u003cé\\u003e","a":null}'.encode()
    assert response.status_code == 404
    assert dict(response.headers) == {
        "x-a": "b",
        "content-length": "31",
        "content-type": "application/json; charset=utf-8",
    }


def test_its_type_can_be_plain() -> None:
    response = json_reply([], media_type=PLAIN_JSON)
    assert (response.status_code, response.body) == (200, b"[]")
    assert response.headers["content-type"] == "application/json"


def test_an_empty_reply_has_a_length_and_no_type() -> None:
    response = empty(201)
    assert (response.status_code, response.body) == (201, b"")
    assert dict(response.headers) == {"content-length": "0"}
