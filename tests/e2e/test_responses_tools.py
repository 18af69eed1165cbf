"""Tools that are more than functions, as Codex uses them, through the real engine."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import DefaultHttpxClient, OpenAI
from openai._models import validate_type
from openai.types.responses import Response

from tests.fakes.process import Gateway
from tests.fakes.scripts import NATIVE, TOOLS, Scripted, create

pytestmark = pytest.mark.engine

PATCH: Any = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Edits files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/s"},
}
SPACE: Any = {
    "type": "namespace",
    "name": "mcp__city__",
    "description": "Cities.",
    "tools": [{"type": "function", "name": "mayor", "parameters": {"type": "object"}}],
}
SEARCH: Any = {
    "type": "tool_search",
    "execution": "client",
    "description": "Finds tools.",
    "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
}
EVERY: Any = [PATCH, SPACE, SEARCH, {"type": "web_search"}]
INPUT = '*** Begin Patch\n+he said "hé" 😀\n*** End Patch'
# It answers what comes back from a tool, and calls one otherwise.
_ANSWERS = (TOOLS.template or "").replace(
    "assistant\n{%- endif -%}",
    "assistant\n{% if messages[-1].role == 'tool' %}RESULT:{% endif %}{%- endif -%}",
)
_REST: dict[str, Any] = {
    "side": ("It is ", "done."),
    "jumps": {"RESULT:": "It is "},
    "context": 2048,
}
_ROOM = {"parameters": {"num_ctx": 2048}}


def calling(name: str, *arguments: str) -> Scripted:
    start = ("<tool_call>", '\n{"name": "', name, '", "arguments": {')
    return Scripted((*start, *arguments, "}}", "\n</tool_call>"), _ANSWERS, _REST, _ROOM)


MODELS = {
    "patches": calling(
        "apply_patch",
        '"input": "',
        "*** Begin Patch\\n",
        '+he said \\"hé\\" \\u',
        'd83d\\ude00\\n*** End Patch"',
    ),
    "asks": calling("mcp__city__mayor", '"of": "', 'Rome"'),
    "searches": calling("tool_search", '"query": "', 'mayors"'),
}
STRICT = NATIVE.replace(
    "{{ m.content }}",
    "{%- if m.role == 'system' and not loop.first -%}{{ raise_exception('One!') }}{%- endif -%}"
    "{{ m.content }}",
)


@pytest.fixture(scope="module")
def openai(served: Gateway, folder: Path) -> Iterator[OpenAI]:
    with served.client() as client:
        for name, script in MODELS.items():
            create(client, name, script, folder)
    url = f"{served.url}/v1"
    http = DefaultHttpxClient(trust_env=False)
    with OpenAI(base_url=url, api_key="none", max_retries=0, http_client=http) as client:
        yield client


def ask(openai: OpenAI, model: str, **more: Any) -> Any:
    """The one item of the reply, the same with events and without."""
    given: Any = {"model": model, "input": "hi", "tools": EVERY, **more}
    whole = openai.responses.create(**given)
    with openai.responses.stream(**given) as stream:
        events = list(stream)
        streamed = stream.get_final_response()
    for response in (whole, streamed):
        validate_type(type_=Response, value=response.to_dict())
        assert [tool.type for tool in response.tools] == ["custom", "namespace", "tool_search"]
    (one,), (other,) = whole.output, streamed.output
    own = {"id", "call_id", "parsed_arguments"}
    assert {k: v for k, v in one.to_dict().items() if k not in own} == {
        k: v for k, v in other.to_dict().items() if k not in own
    }
    return one, [event for event in events if event.type.startswith("response.custom")]


def answer(openai: OpenAI, model: str, call: Any, result: dict[str, Any]) -> str:
    """The reply to the result of a call; the client sends the call back as it got it."""
    given: Any = [
        {"role": "user", "content": "hi"},
        call.to_dict(),
        {"call_id": call.call_id, **result},
    ]
    return str(openai.responses.create(model=model, input=given, tools=EVERY).output_text)


@pytest.mark.parametrize("choice", ["auto", {"type": "custom", "name": "apply_patch"}])
def test_a_custom_tool_is_called_with_a_text(openai: OpenAI, choice: Any) -> None:
    call, events = ask(openai, "patches", tool_choice=choice)
    assert (call.type, call.name, call.input) == ("custom_tool_call", "apply_patch", INPUT)
    *deltas, done = events
    assert len(deltas) > 2
    assert "".join(event.delta for event in deltas) == done.input == INPUT
    result = {"type": "custom_tool_call_output", "output": "Done."}
    assert answer(openai, "patches", call, result) == "It is done."


def test_a_function_in_a_namespace_is_called(openai: OpenAI) -> None:
    call, _ = ask(openai, "asks")
    assert (call.type, call.namespace, call.name) == ("function_call", "mcp__city__", "mayor")
    assert json.loads(call.arguments) == {"of": "Rome"}
    result = {"type": "function_call_output", "output": "Somebody"}
    assert answer(openai, "asks", call, result) == "It is done."


def test_a_search_for_tools_is_left_to_the_client(openai: OpenAI) -> None:
    call, _ = ask(openai, "searches")
    assert (call.type, call.execution, call.arguments) == (
        "tool_search_call",
        "client",
        {"query": "mayors"},
    )
    result = {"type": "tool_search_output", "execution": "client", "tools": SPACE["tools"]}
    assert answer(openai, "searches", call, result) == "It is done."


def test_messages_of_a_developer_suit_a_template_that_takes_one_system_message(
    openai: OpenAI, client: httpx.Client, tmp_path: Path
) -> None:
    create(client, "strict", Scripted(("Yes.",), template=STRICT), tmp_path)
    given: Any = [{"role": "developer", "content": text} for text in ("You may read.", "Skills.")]
    response = openai.responses.create(
        model="strict", instructions="Be brief.", input=[*given, {"role": "user", "content": "hi"}]
    )
    assert response.output_text == "Yes."
