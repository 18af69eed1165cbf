"""Requests that are wrong somewhere: bodies, bytes, names and paths that no good client sends.

What a route takes is told by the decoder's own tables where it has one, by the lists below for the
other dialects, and for a route that neither knows by every word that the dialects' code contains.
"""

import ast
import json
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from starlette.routing import Route

from gateway.api.embeddings.requests import EMBED, OLD_EMBED
from gateway.api.fields import RequestTable
from gateway.api.ollama import fields as bodies
from gateway.app import ROUTES
from gateway.errors import Invalid
from gateway.golang.json_decode import JsonKind, JsonPath, ListOf, MapOf, Own, Struct
from gateway.inference.options import TABLE

Where = tuple[str | int, ...]

DIGEST = f"sha256:{'0' * 64}"
MARK = "\ue000"
"""Where something else is to be put."""
_EACH = 5
TRESPASS = "trespass"
"""Part of every name that would leave the store, and of none that may be found on the disk."""

WRONG = (
    *("null", "true", "0", "-1", "1.5", "1e400", "9223372036854775808", '""', '"x"', '"\\ud800"'),
    *("[]", "[null]", "[[]]", "[{}]", "[0]", '["\\u0000"]', "{}", '{"":null}', '{"type":"x"}'),
    *('{"type":"function","function":0}', '{"role":1,"content":{}}', "[[[[[[[[]]]]]]]]"),
)
"""JSON texts to put where something else belongs."""

_OPTIONS = {option.name: option.default for option in TABLE.values()} | {"stop": ["x"]}
_KNOWN = {"options": _OPTIONS, "parameters": _OPTIONS, "format": {"type": "object"}}
_SAY = [{"role": "user", "content": "hi"}]
_TOOL = {
    "type": "function",
    "function": {"name": "f", "description": "", "strict": True, "parameters": {"type": "object"}},
}
_CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
_PARTS = [
    {"type": "text", "text": "a"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,YQ==", "detail": "low"}},
    {"type": "input_audio", "input_audio": {"data": "YQ==", "format": "wav"}},
]
_SAMPLING = {
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 1,
    "seed": 1,
    "stop": ["x"],
    "n": 1,
    "stream": True,
    "stream_options": {"include_usage": True},
    "max_tokens": 4,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "logit_bias": {"1": 1},
    "user": "u",
    "keep_alive": "5m",
    "metadata": {"user_id": "u"},
    "reasoning_effort": "none",
}
_SCHEMA = {"name": "s", "strict": True, "schema": {"type": "object"}}
_MEMBERS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        **_SAMPLING,
        "messages": [
            {"role": "system", "content": "s", "name": "n"},
            {"role": "user", "content": _PARTS},
            {"role": "assistant", "content": None, "tool_calls": [_CALL], "reasoning": "r"},
            {"role": "tool", "tool_call_id": "c", "content": [_PARTS[0]]},
        ],
        "tools": [_TOOL],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": True,
        "response_format": {"type": "json_schema", "json_schema": _SCHEMA},
        "logprobs": True,
        "top_logprobs": 1,
        "max_completion_tokens": 4,
        "reasoning": {"effort": "none"},
        "chat_template_kwargs": {"a": 1},
    },
    "/v1/completions": {
        **_SAMPLING,
        "prompt": ["p", [1]],
        "suffix": "s",
        "logprobs": 1,
        "echo": True,
        "best_of": 1,
    },
    "/v1/embeddings": {
        "input": ["a", "b", [1, 2]],
        "dimensions": 1,
        "encoding_format": "base64",
        "user": "u",
    },
    "/v1/rerank": {
        "query": "q",
        "documents": ["a", {"text": "b"}],
        "top_n": 1,
        "return_documents": True,
        "rank_fields": ["text"],
        "max_tokens_per_doc": 1,
        "max_chunks_per_doc": 1,
    },
    "/v1/messages": {
        **_SAMPLING,
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "a"},
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": "YQ=="},
                    },
                    {"type": "tool_result", "tool_use_id": "c", "content": [_PARTS[0]]},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "t", "signature": "s"},
                    {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}},
                ],
            },
        ],
        "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "tool", "name": "f"},
        "thinking": {"type": "enabled", "budget_tokens": 1},
        "stop_sequences": ["x"],
    },
    "/v1/responses": {
        **_SAMPLING,
        "instructions": "i",
        "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]},
            {"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "o"},
            {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "t"}]},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
        "tool_choice": {"type": "function", "name": "f"},
        "text": {"format": {"type": "json_schema", **_SCHEMA}},
        "reasoning": {"effort": "none", "summary": "auto"},
        "max_output_tokens": 4,
        "previous_response_id": "p",
        "store": False,
        "truncation": "auto",
        "include": ["x"],
    },
}
_MEMBERS["/v1/messages/count_tokens"] = _MEMBERS["/v1/messages"]
_MODELS = {
    "/api/embed": "e",
    "/api/embeddings": "e",
    "/v1/embeddings": "e",
    "/v1/rerank": "r",
}
_LEAST: dict[str, dict[str, Any]] = {
    "/api/chat": {"messages": _SAY},
    "/api/generate": {"prompt": "hi"},
    "/api/create": {"files": {"m.gguf": DIGEST}},
    "/api/copy": {"source": "m", "destination": "n"},
    "/v1/chat/completions": {"messages": _SAY},
    "/v1/completions": {"prompt": "hi"},
    "/v1/embeddings": {"input": "hi"},
    "/v1/rerank": {"query": "q", "documents": ["a", "b"]},
    "/v1/messages/count_tokens": {"messages": _SAY},
    "/v1/messages": {"messages": _SAY, "max_tokens": 4},
    "/v1/responses": {"input": "hi"},
}
# Their names are fetched from, or sent to, whatever host they spell.
_OUTWARD = ("/api/pull", "/api/push")
ASKED: Sequence[tuple[str, str]] = sorted(
    (method, route.path)
    for route in ROUTES
    if isinstance(route, Route) and route.path not in _OUTWARD
    for method in route.methods or ()
)
"""Method and path of every route."""
POSTED = [(method, path) for method, path in ASKED if method not in ("GET", "HEAD")]
"""Those that take a body; `{…}` in a path is left as it is."""


def filled(path: str) -> str:
    """A path with something in the place of each parameter."""
    return path.replace("{digest}", DIGEST).replace("{model:path}", "m")


def least(path: str) -> dict[str, Any]:
    """What `path` must be given: `e` is for a model that embeds, `r` for one that ranks."""
    return {"model": _MODELS.get(path, "m"), **_LEAST.get(path, {})}


@cache
def full(path: str) -> dict[str, Any]:
    """Every member that `path` is known to take."""
    if path.startswith("/api/"):
        struct = _tables()[path.rpartition("/")[2]]
        members = sample(struct)
        known = {name: value for name, value in _KNOWN.items() if name in members}
        return {**members, **known, **least(path)}
    members = _MEMBERS.get(path) or dict.fromkeys(words(), "x")
    return {**least(path), **members}


def spoilt(path: str) -> Iterator[bytes]:
    """Bodies that are right but for one place, every place in its turn.

    Each has one optional member at most, so that nothing else is refused before it. The places
    share the WRONG among them.
    """
    wrong = cycle(WRONG)
    for name, value in full(path).items():
        base = {**least(path), name: value}
        for where in places(value, (name,)):
            for text in islice(wrong, _EACH):
                yield spelled(replaced(base, where, MARK), text)


def spelled(value: Any, text: str) -> bytes:
    """`value` as JSON, with `text` for what is a MARK in it."""
    return json.dumps(value).replace(json.dumps(MARK), text).encode()


def sample(kind: JsonKind, depth: int = 0) -> Any:
    """A value that `kind` takes, with every member of every struct in it."""
    if isinstance(kind, Struct):
        members = {name: member[2] for name, member in kind._members.items()}
        return {name: sample(member, depth + 1) for name, member in members.items()}
    if isinstance(kind, ListOf):
        return [sample(kind._kind, depth)]
    if isinstance(kind, MapOf):
        return {"x": sample(kind._kind, depth)}
    if isinstance(kind, Own):
        return sample(kind._kind, depth)
    if isinstance(kind, bodies._Property):
        return sample(bodies._TOOL_PROPERTY, depth) if depth < 6 else {}
    return next(value for value in ("5m", "YQ==", True, 1, ["x"], {"a": 1}) if _takes(kind, value))


@cache
def words() -> tuple[str, ...]:
    """Every text in the code of the dialects that could be the name of a member, or its value."""
    folder = Path(bodies.__file__).parent
    found = {
        node.value
        for path in (*folder.glob("*.py"), *(folder.parent / "routes").glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return tuple(sorted(word for word in found if word.isidentifier()))


def _takes(kind: JsonKind, value: Any) -> bool:
    place = JsonPath()
    try:
        kind.take(value, place)
        place.settle()
    except Invalid:
        return False
    return True


def _tables() -> dict[str, Struct]:
    """By the last part of the path that uses it."""
    tables = {name.lower(): it for name, it in vars(bodies).items()}
    tables |= {"embed": EMBED, "embeddings": OLD_EMBED}
    structs = {
        name: it.struct if isinstance(it, RequestTable) else it for name, it in tables.items()
    }
    return {name: it for name, it in structs.items() if isinstance(it, Struct)}


def places(value: Any, at: Where) -> Iterator[Where]:
    yield at
    if isinstance(value, dict):
        for name, item in value.items():
            yield from places(item, (*at, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*at, index))


def replaced(value: Any, where: Where, new: Any) -> Any:
    if not where:
        return new
    copied = value.copy()
    copied[where[0]] = replaced(value[where[0]], where[1:], new)
    return copied
