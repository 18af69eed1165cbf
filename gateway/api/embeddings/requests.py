"""Requests for embeddings: /api/embed, the older /api/embeddings, and OpenAI's /v1/embeddings."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.api.fields import RequestTable, json_field
from gateway.errors import Invalid
from gateway.golang.duration import parse_keep_alive
from gateway.golang.json_decode import ANY, BOOL, INT, MAP, STRING, Custom


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedRequest:
    model: str = json_field(STRING, default="")
    input: object = json_field(ANY, default=None)
    keep_alive: float | None = json_field(Custom(parse_keep_alive), default=None)
    truncate: bool = json_field(BOOL, default=True)
    dimensions: int = json_field(INT, default=0)
    options: Mapping[str, object] = json_field(MAP, default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OldEmbedRequest:
    model: str = json_field(STRING, default="")
    prompt: str = json_field(STRING, default="")
    keep_alive: float | None = json_field(Custom(parse_keep_alive), default=None)
    options: Mapping[str, object] = json_field(MAP, default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIEmbedRequest:
    input: object = json_field(ANY, default=None)
    model: str = json_field(STRING, default="")
    dimensions: int = json_field(INT, default=0)
    encoding_format: str = json_field(STRING, default="")
    keep_alive: float | None = json_field(Custom(parse_keep_alive), default=None)


EMBED = RequestTable(EmbedRequest, "EmbedRequest")
OLD_EMBED = RequestTable(OldEmbedRequest, "EmbeddingRequest")
OPENAI_EMBED = RequestTable(OpenAIEmbedRequest, "EmbedRequest", go="openai.EmbedRequest")


def texts(value: object) -> list[str]:
    """The `input` of an embed request: none, one or several texts."""
    if not value and (value is None or isinstance(value, str)):
        return []
    items = value if isinstance(value, list) else [value]
    texts = [item for item in items if isinstance(item, str)]
    if len(texts) != len(items):
        raise Invalid("invalid input type")
    return texts


def openai_texts(value: object) -> list[str]:
    """The same for OpenAI's, which must have one; an empty text is a text here."""
    if value is None or value == []:
        raise Invalid("invalid input")
    return [value] if value == "" else texts(value)


def as_base64(form: str) -> bool:
    """Whether an `encoding_format` is base64; the other one is float."""
    if form.lower() not in ("", "float", "base64"):
        raise Invalid(
            f"Invalid value for 'encoding_format' = {form}. Supported values: ['float', 'base64']."
        )
    return form.lower() == "base64"
