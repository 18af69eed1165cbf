"""The JSON files of a model: its config, parameters and messages, and how any of them is read.

Whoever published a model wrote its files, so they may hold anything. What is written here has the
bytes that Ollama writes, so that equal files are one blob.
"""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypedDict

from gateway.errors import Invalid
from gateway.golang.json_encode import dumps, with_go_floats
from gateway.modelfile import BOOLEANS, FLOATS, INTEGERS, LISTS


def decode(data: bytes) -> object:
    """The first JSON value of `data`; ValueError when there is none that could be written again.

    As in Go, an integer beyond 64 bits is a float, a lone surrogate is U+FFFD, and what follows the
    value does not count.
    """
    text = data.decode().lstrip()
    try:
        # Not orjson: it refuses what follows the value, lone surrogates and long integers, all of
        # which Go reads.
        value, _ = _DECODER.raw_decode(text)
        # A value that cannot be encoded would fail later, in the reply that shows the model.
        encoded = dumps(value)
    except (RecursionError, TypeError) as error:
        raise ValueError("it is nested too deeply") from error
    # The encoder has replaced lone surrogates. Files without an escape for one have none to replace
    # and are not read a second time.
    return json.loads(encoded) if "\\ud" in text.lower() else value


# Python refuses to convert integers of more than 4300 digits; 18 always fit 64 bits.
_DECODER = json.JSONDecoder(
    parse_int=lambda text: int(text) if len(text) < 19 else float(text),
)


def reason(error: Exception) -> str:
    """The text of `error` for a client: files by their names, without the folders of this host."""
    if isinstance(error, OSError) and error.strerror:
        name = os.path.basename(str(error.filename or ""))
        return f"{name}: {error.strerror}" if name else error.strerror
    return str(error)


# ---- the config blob


@dataclass(frozen=True, slots=True)
class Config:
    """What a manifest's config blob says of a model.

    Empty values mean that the field is absent; `families` None is Ollama's `null`.
    """

    format: str = ""
    family: str = ""
    families: tuple[str, ...] | None = None
    size: str = ""
    """Parameters, for people: `7.2B`."""
    file_type: str = ""
    renderer: str = ""
    parser: str = ""
    requires: str = ""
    remote_host: str = ""
    remote_model: str = ""
    capabilities: tuple[str, ...] = ()
    context_length: int = 0
    embedding_length: int = 0
    base_name: str = ""
    draft: Mapping[str, object] = field(default_factory=dict)


def encode_config(config: Config) -> bytes:
    """The blob, byte for byte as Ollama writes it for an equal config."""
    # The order of the keys is part of the digest, so it is Ollama's, with optional ones between.
    optional = {
        "renderer": config.renderer,
        "parser": config.parser,
        "requires": config.requires,
        "remote_host": config.remote_host,
        "remote_model": config.remote_model,
        "capabilities": config.capabilities,
        "context_length": config.context_length,
        "embedding_length": config.embedding_length,
        "base_name": config.base_name,
        "draft": config.draft,
    }
    body = {
        "model_format": config.format,
        "model_family": config.family,
        "model_families": config.families,
        "model_type": config.size,
        "file_type": config.file_type,
        **{key: value for key, value in optional.items() if value},
        # Constants, on any machine: Docker's format has them, and Ollama always writes these.
        "architecture": "amd64",
        "os": "linux",
    }
    return dumps(body) + b"\n"


def decode_config(data: bytes) -> Config:
    """Read a config blob; a value of the wrong type counts as absent. ValueError if no object."""
    body = decode(data)
    if not isinstance(body, dict):
        raise ValueError("a config must be a JSON object")
    families = body.get("model_families")
    draft = body.get("draft")
    return Config(
        format=_text(body.get("model_format")),
        family=_text(body.get("model_family")),
        families=_texts(families) if isinstance(families, list) else None,
        size=_text(body.get("model_type")),
        file_type=_text(body.get("file_type")),
        renderer=_text(body.get("renderer")),
        parser=_text(body.get("parser")),
        requires=_text(body.get("requires")),
        remote_host=_text(body.get("remote_host")),
        remote_model=_text(body.get("remote_model")),
        capabilities=_texts(body.get("capabilities")),
        context_length=_count(body.get("context_length")),
        embedding_length=_count(body.get("embedding_length")),
        base_name=_text(body.get("base_name")),
        draft=draft if isinstance(draft, dict) else {},
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


# ---- the params layer

# The types by the names that Ollama's messages use for them.
_OPTION_TYPES: Mapping[str, str] = {
    **dict.fromkeys(INTEGERS, "integer"),
    **dict.fromkeys(FLOATS, "float32"),
    **dict.fromkeys(BOOLEANS, "boolean"),
    **dict.fromkeys(LISTS, "array"),
}


def check_parameters(parameters: Mapping[str, object]) -> dict[str, object]:
    """`parameters` fit to be stored. Unknown names pass: models still carry retired options.

    A known option of the wrong type raises Invalid: stored, it would fail every later request.
    A single `stop` string becomes a list of one.
    """
    checked: dict[str, object] = {}
    for name, value in parameters.items():
        expected = _OPTION_TYPES.get(name)
        if expected == "array" and isinstance(value, str):
            checked[name] = [value]
            continue
        checked[name] = value
        if value is None or expected is None:
            continue
        if expected == "array":
            fits = isinstance(value, list)
        elif expected == "boolean" or isinstance(value, bool):
            fits = expected == "boolean" and isinstance(value, bool)
        else:
            # An integer may come as a float: its fraction is cut off when the model loads.
            fits = isinstance(value, int | float) and abs(value) < math.inf
        if not fits:
            raise Invalid(f'option "{name}" must be of type {expected}')
        if isinstance(value, list) and not all(isinstance(item, str) for item in value):
            raise Invalid(f'option "{name}" must be of an array of strings')
    return checked


def encode_parameters(parameters: Mapping[str, object]) -> bytes:
    """The layer, byte for byte as Ollama writes it: keys sorted, numbers in Go's form."""
    return dumps(with_go_floats(parameters), sort_keys=True) + b"\n"


def decode_parameters(data: bytes) -> dict[str, object]:
    """Read a params layer. ValueError when it is no JSON object."""
    body = decode(data)
    if not isinstance(body, dict):
        raise ValueError("params must be a JSON object")
    return body


# ---- the messages layer


class StoredMessage(TypedDict, total=False):
    """A message that a model's conversations begin with, in Ollama's fields.

    Only `role` and `content`, which are always there, have been checked.
    """

    role: str
    content: str
    thinking: object
    images: object
    tool_calls: object
    tool_name: object
    tool_call_id: object


_OPTIONAL_FIELDS: tuple[
    Literal["thinking", "images", "tool_calls", "tool_name", "tool_call_id"], ...
] = ("thinking", "images", "tool_calls", "tool_name", "tool_call_id")


def stored_message(fields: object) -> StoredMessage:
    """The known fields of a message, empty ones left out; ValueError for anything else."""
    if not isinstance(fields, dict):
        raise ValueError("a message must be a JSON object")
    role, content = fields.get("role", ""), fields.get("content", "")
    if not isinstance(role, str) or not isinstance(content, str):
        raise ValueError("a message must have a role and a content that are texts")
    message = StoredMessage(role=role, content=content)
    for key in _OPTIONAL_FIELDS:
        if value := fields.get(key):
            message[key] = value
    return message


def encode_messages(messages: tuple[StoredMessage, ...]) -> bytes:
    """The layer, byte for byte as Ollama writes it."""
    return dumps(messages) + b"\n"


def decode_messages(data: bytes) -> tuple[StoredMessage, ...]:
    """Read a messages layer; `null` is an empty one. ValueError when it is no list of messages."""
    body = decode(data)
    if body is None:
        return ()
    if not isinstance(body, list):
        raise ValueError("messages must be a JSON list")
    return tuple(stored_message(item) for item in body)
