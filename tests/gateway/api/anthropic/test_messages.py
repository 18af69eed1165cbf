"""Messages of the Anthropic dialect in the engine's shape."""

from typing import Any

import pytest

from gateway.api.anthropic.messages import check_messages, system_text
from gateway.errors import Invalid

HI = {"role": "user", "content": "hi"}
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
USE = {"type": "tool_use", "id": "t1", "name": "add", "input": {"x": 1}}
CALL = {"id": "t1", "type": "function", "function": {"name": "add", "arguments": '{"x":1}'}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "2"}


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "text": content}


def user(*blocks: Any) -> Any:
    """What a user's message becomes after a call, which a result may answer."""
    before: list[Any] = [HI, {"role": "assistant", "content": [USE]}]
    return check_messages([*before, {"role": "user", "content": list(blocks)}])[2:]


def answer(*blocks: Any) -> Any:
    """What an assistant's message becomes between two questions."""
    return check_messages([HI, {"role": "assistant", "content": list(blocks)}, HI])[1:-1]


def refused(messages: Any) -> str:
    with pytest.raises(Invalid) as caught:
        check_messages(messages)
    return caught.value.message


def refused_block(block: Any, role: str = "user") -> str:
    return refused([{"role": role, "content": [block]}, HI])


# ---- messages


def test_text_passes() -> None:
    messages = [HI, {"role": "assistant", "content": "hello"}, {"role": "system", "content": "s"}]
    assert check_messages(messages) == messages


def test_roles_in_any_case() -> None:
    assert check_messages([{"role": "USER", "content": "hi"}]) == [HI]


@pytest.mark.parametrize("role", [None, "", "banana", "tool"])
def test_other_roles_are_refused(role: Any) -> None:
    message = "messages.1.role: must be 'user', 'assistant' or 'system'"
    assert refused([HI, {"role": role, "content": "x"}]) == message


def test_a_message_must_have_content() -> None:
    message = "messages.0.content: must be a string or a list of blocks"
    assert refused([{"role": "user", "content": None}]) == message


def test_messages_without_blocks_are_left_out() -> None:
    empty: list[Any] = [{"role": role, "content": []} for role in ("user", "assistant")]
    assert check_messages([*empty, HI]) == [HI]
    assert refused(empty) == "messages is required"


def test_a_system_message_is_its_texts() -> None:
    [message] = check_messages([{"role": "system", "content": [text("A"), text("B")]}])
    assert message == {"role": "system", "content": "AB"}


def test_answers_that_follow_one_another_are_one() -> None:
    first = {"role": "assistant", "content": [{"type": "thinking", "thinking": "x"}, text("A")]}
    second = {"role": "assistant", "content": [{"type": "thinking", "thinking": "y"}, text("B")]}
    picture = {"role": "assistant", "content": [PNG]}
    assert check_messages([HI, first, second]) == [
        HI,
        {"role": "assistant", "content": "AB", "reasoning_content": "xy"},
    ]
    [_, joined] = check_messages([HI, first, picture, second])
    assert joined["content"] == [text("A"), PART, text("B")]
    assert check_messages([HI, HI]) == [HI, HI]


def test_an_answer_after_a_call_is_another_one() -> None:
    use = {"role": "assistant", "content": [USE]}
    made = check_messages([HI, use, {"role": "assistant", "content": "A"}])
    assert [message["content"] for message in made] == ["hi", "", "A"]


# ---- system


@pytest.mark.parametrize(
    ("system", "made"),
    [
        (None, ""),
        ("S", "S"),
        ([], ""),
        ([text("A"), {**text("B"), "cache_control": {"type": "ephemeral"}}], "AB"),
    ],
)
def test_system_is_one_text(system: Any, made: str) -> None:
    assert system_text(system) == made


@pytest.mark.parametrize("system", [5, ["a"], [PNG], {"type": "text", "text": "x"}])
def test_system_is_nothing_else(system: Any) -> None:
    with pytest.raises(Invalid, match=r"^system: must be a string or a list of text blocks$"):
        system_text(system)


def test_the_stamp_of_a_client_does_not_reach_the_prompt() -> None:
    head = "x-anthropic-billing-header: cc_version=2.1; cc_entrypoint=cli;"
    stamped = [text(f"{head} cch=a51{at};You are it. cch=1;") for at in (4, 5)]
    assert system_text([stamped[0]]) == system_text([stamped[1]]) == f"{head}You are it. cch=1;"
    assert system_text("cch=1;") == "cch=1;"


# ---- blocks


def test_neighbouring_texts_are_one_text() -> None:
    assert user(text("a"), text("b")) == [{"role": "user", "content": "ab"}]


def test_images_are_parts_among_the_texts() -> None:
    [message] = user(text("a"), text("b"), PNG, text("c"))
    assert message["content"] == [text("ab"), PART, text("c")]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "invalid image source"),
        ("x", "invalid image source"),
        (
            {"type": "url", "url": "http://127.0.0.1:9/x.png"},
            "invalid image source type: url. Only base64 images are supported.",
        ),
        (
            {"type": "file", "file_id": "f"},
            "invalid image source type: file. Only base64 images are supported.",
        ),
        ({}, "invalid image source type: None. Only base64 images are supported."),
        (
            {"type": "base64", "media_type": "image/png", "data": "!"},
            "invalid base64 image data: illegal base64 data at input byte 0",
        ),
        (
            {"type": "base64", "media_type": "text/html", "data": "aGk="},
            "invalid image source: 'media_type' must be that of an image",
        ),
    ],
)
def test_an_image_that_cannot_be(source: Any, message: str) -> None:
    image = {"type": "image", "source": source}
    assert refused_block(image) == message


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ({"type": "text", "media_type": "text/plain", "data": "D"}, "T\nC\nD"),
        ({"type": "content", "content": "D"}, "T\nC\nD"),
        ({"type": "content", "content": [text("D"), text("E")]}, "T\nC\nDE"),
    ],
)
def test_a_document_of_text_is_text(source: Any, made: str) -> None:
    document = {"type": "document", "source": source, "title": "T", "context": "C"}
    assert user(document) == [{"role": "user", "content": made}]


@pytest.mark.parametrize("kind", ["base64", "url", "file"])
def test_other_documents_are_refused(kind: str) -> None:
    message = f"invalid document source type: {kind}. Only text is supported."
    assert refused_block({"type": "document", "source": {"type": kind, "data": "x"}}) == message


def test_a_search_result_is_text() -> None:
    result = {"type": "search_result", "title": "T", "source": "S", "content": [text("a")]}
    assert user(result) == [{"role": "user", "content": "T\nS\na"}]
    message = "search_result block: only text blocks are supported in it"
    assert refused_block({**result, "content": [PNG]}) == message


@pytest.mark.parametrize("kind", [None, "bogus", "container_upload", "tool_reference", "pdf"])
def test_unknown_blocks_are_refused_by_name(kind: Any) -> None:
    message = f"messages.0.content: blocks of type {kind!r} are not supported"
    assert refused_block({"type": kind}) == message


@pytest.mark.parametrize(
    ("role", "kind"),
    [
        ("user", "tool_use"),
        ("user", "thinking"),
        ("user", "redacted_thinking"),
        ("assistant", "tool_result"),
        ("system", "tool_result"),
    ],
)
def test_a_block_must_fit_its_role(role: str, kind: str) -> None:
    message = f"messages.0.content: a block of type {kind!r} cannot be the {role}'s"
    assert refused_block({"type": kind}, role) == message


# ---- answers of the assistant


def test_an_answer_has_its_text_its_thinking_and_its_calls() -> None:
    thoughts = [{"type": "thinking", "thinking": t, "signature": "s"} for t in ("Hm", ", so")]
    assert answer(*thoughts, {"type": "redacted_thinking", "data": "x"}, text("A"), USE) == [
        {
            "role": "assistant",
            "content": "A",
            "reasoning_content": "Hm, so",
            "tool_calls": [CALL],
        }
    ]


def test_an_answer_that_only_thought_in_secret_is_left_out() -> None:
    assert answer({"type": "redacted_thinking", "data": "x"}) == []


def test_a_call_without_input_has_none() -> None:
    [message] = answer({key: value for key, value in USE.items() if key != "input"})
    assert message["tool_calls"][0]["function"]["arguments"] == "{}"
    assert message["content"] == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": None}, "tool_use block missing required 'id' field"),
        ({"id": ""}, "tool_use block missing required 'id' field"),
        ({"name": None}, "tool_use block missing required 'name' field"),
        ({"id": 5}, "tool_use block: 'id' must be a string"),
        ({"name": []}, "tool_use block: 'name' must be a string"),
        ({"input": "x"}, "tool_use block: 'input' must be an object"),
        ({"input": []}, "tool_use block: 'input' must be an object"),
    ],
)
def test_a_call_that_cannot_be(change: dict[str, Any], message: str) -> None:
    assert refused_block({**USE, **change}, "assistant") == message


def test_a_call_must_be_answered_before_the_model_goes_on() -> None:
    message = "messages: `tool_use` ids without `tool_result` blocks after them: t1"
    assert refused([HI, {"role": "assistant", "content": [text("A"), USE]}]) == message


@pytest.mark.parametrize(
    ("block", "role", "message"),
    [
        ({"type": "text", "text": []}, "user", "text block: 'text' must be a string"),
        ({"type": "text", "text": False}, "user", "text block: 'text' must be a string"),
        (
            {"type": "thinking", "thinking": {}},
            "assistant",
            "thinking block: 'thinking' must be a string",
        ),
        (
            {"type": "document", "title": 5, "source": {"type": "text", "data": "d"}},
            "user",
            "document block: 'title' must be a string",
        ),
        (
            {"type": "document", "context": [], "source": {"type": "text", "data": "d"}},
            "user",
            "document block: 'context' must be a string",
        ),
        (
            {"type": "search_result", "source": {}, "title": "T", "content": []},
            "user",
            "search_result block: 'source' must be a string",
        ),
        (
            {"type": "search_result", "source": "S", "title": "T", "content": {}},
            "user",
            "search_result block: only text blocks are supported in it",
        ),
    ],
)
def test_nothing_of_a_wrong_type_is_dropped(block: dict[str, Any], role: str, message: str) -> None:
    assert refused_block(block, role) == message


# ---- results


def test_results_stand_before_the_text() -> None:
    other = {**RESULT, "tool_use_id": "t2", "content": [text("a"), PNG]}
    assert user(text("so?"), RESULT, other) == [
        {"role": "tool", "tool_call_id": "t1", "content": "2"},
        {"role": "tool", "tool_call_id": "t2", "content": [text("a"), PART]},
        {"role": "user", "content": "so?"},
    ]


@pytest.mark.parametrize(
    ("content", "made"),
    [
        (None, ""),
        ("", ""),
        ([], ""),
        ([text("a"), text("b")], "ab"),
        ([{"type": "tool_reference", "tool_name": "add"}], "add"),
    ],
)
def test_a_result_is_text(content: Any, made: str) -> None:
    assert user({**RESULT, "content": content})[0]["content"] == made


@pytest.mark.parametrize(("content", "made"), [(None, "Error"), ([], "Error"), ("no", "no")])
def test_a_failure_without_words_does_not_read_like_a_success(content: Any, made: str) -> None:
    assert user({**RESULT, "content": content, "is_error": True})[0]["content"] == made


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tool_use_id": None}, "tool_result block missing required 'tool_use_id' field"),
        ({"content": 5}, "tool_result block: 'content' must be a string or a list of blocks"),
        ({"content": ["x"]}, "tool_result block: 'content' must be a string or a list of blocks"),
        (
            {"content": [{"type": "thinking"}]},
            "tool_result block: blocks of type 'thinking' are not supported",
        ),
        ({"content": [{"type": "image"}]}, "invalid tool_result image source"),
        (
            {"content": [{"type": "image", "source": {"type": "url"}}]},
            "invalid image source type: url. Only base64 images are supported.",
        ),
        ({"content": [{"type": "text", "text": 5}]}, "text block: 'text' must be a string"),
        ({"is_error": "yes"}, "tool_result block: 'is_error' must be a boolean"),
        (
            {"content": [{"type": "tool_reference", "tool_name": []}]},
            "tool_reference block: 'tool_name' must be a string",
        ),
    ],
)
def test_a_result_that_cannot_be(change: dict[str, Any], message: str) -> None:
    assert refused_block({**RESULT, **change}) == message


def test_a_search_of_the_service_is_a_call_and_its_result() -> None:
    use = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}}
    result = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"title": "T"}]}
    arguments = {"name": "web_search", "arguments": '{"query":"q"}'}
    assert answer(text("A"), use, result, text("B")) == [
        {
            "role": "assistant",
            "content": "A",
            "tool_calls": [{"id": "s1", "type": "function", "function": arguments}],
        },
        {"role": "tool", "tool_call_id": "s1", "content": '[{"title":"T"}]'},
        {"role": "assistant", "content": "B"},
    ]
