"""A response as one object; test_stream compares it with the streamed form."""

import json

from gateway.api.responses.fields import ResponsesRequest
from gateway.api.responses.object import ResponseObject
from gateway.api.responses.output import ResponseReplyOptions
from gateway.api.responses.requests import response_frame
from gateway.llama.events import Delta, End, Usage

FRAME = response_frame(ResponsesRequest(model="m"), "resp_t", 90)


def writer() -> ResponseObject:
    return ResponseObject(FRAME, "t", lambda: 99, ResponseReplyOptions())


def test_nothing_is_written_before_the_end() -> None:
    response = writer()
    response.assigned()
    assert response.media_type == "application/json"
    assert response.begin() + response.write(Delta(text="Hi")) == b""
    assert response.response is None
    body = response.end(End("stop"), Usage(prompt_tokens=20, completion_tokens=5))
    assert body.endswith(b"}\n")
    assert json.loads(body) == response.response
    assert list(json.loads(body)) == list(FRAME)


def test_a_reply_that_fails_is_an_error() -> None:
    error = json.loads(writer().failure("it broke", 500))["error"]
    assert (error["message"], error["type"]) == ("it broke", "api_error")
