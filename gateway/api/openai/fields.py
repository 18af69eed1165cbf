"""Every member of the OpenAI dialect's requests that has a type here: what it is, what happens.

The docs' tables are checked against these. A value of another type is refused in the words of
Ollama, which are those of Go's decoder, where Ollama has the member.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from gateway.errors import Invalid

Kind = Literal["boolean", "integer", "number", "string", "object", "array", "any"]

_PLAIN: Mapping[Kind, tuple[type, ...]] = {
    "boolean": (bool,),
    "string": (str,),
    "object": (dict,),
    "array": (list,),
}
_WORDS = {"boolean": "a boolean", "number": "a number", "string": "a string"}
_GO_KINDS = {str: "string", bool: "bool", list: "array", dict: "object"}


@dataclass(frozen=True, slots=True)
class Field:
    """A member: its kind, Ollama's own type for it if it has one, and what is done with it."""

    kind: Kind
    fate: str
    go: str = ""


NUMBERS = ("temperature", "top_p", "frequency_penalty", "presence_penalty")
"""Sampling that has the same names here, for Ollama and for the engine."""
_SAMPLING: Mapping[str, Field] = {
    "model": Field("string", "names the model", "string"),
    "stream": Field("boolean", "server-sent events instead of one object", "bool"),
    "stream_options": Field(
        "object", "`include_usage` adds a last chunk with counts", "openai.StreamOptions"
    ),
    "max_tokens": Field("integer", "limits the reply", "int"),
    "max_completion_tokens": Field("integer", "limits the reply; wins over max_tokens"),
    "temperature": Field("number", "1.0 where neither model nor request says", "float64"),
    "top_p": Field("number", "1.0 where neither model nor request says", "float64"),
    "frequency_penalty": Field("number", "honoured", "float64"),
    "presence_penalty": Field("number", "honoured", "float64"),
    "seed": Field("integer", "honoured", "int"),
    "stop": Field("any", "a text or a list of texts, instead of the model's own"),
    "n": Field("integer", "1; more is refused"),
    "logit_bias": Field("object", "honoured"),
    "response_format": Field(
        "object",
        "json_object or json_schema constrain the reply; other types are refused",
        "openai.ResponseFormat",
    ),
    "grammar": Field("string", "the engine's own: a GBNF grammar constrains the reply"),
    "json_schema": Field("object", "the engine's own: a schema alone constrains the reply"),
    "n_probs": Field("integer", "the engine's own: log probabilities with so many alternatives"),
    "post_sampling_probs": Field("any", "refused: log probabilities are those before sampling"),
    "user": Field("string", "accepted; nothing depends on it"),
    "keep_alive": Field("any", "ours: how long the model stays loaded afterwards"),
}
CHAT: Mapping[str, Field] = {
    **_SAMPLING,
    "messages": Field("array", "required", "[]openai.Message"),
    "tools": Field("array", "functions; other kinds are refused", "[]api.Tool"),
    "tool_choice": Field("any", "none, auto, required, a function, or allowed_tools"),
    "parallel_tool_calls": Field("boolean", "false: at most one call in a reply"),
    "reasoning_effort": Field(
        "string", "none switches thinking off; a level switches it on", "string"
    ),
    "reasoning": Field("object", "`effort` wins over reasoning_effort", "openai.Reasoning"),
    "logprobs": Field("boolean", "log probabilities of the tokens", "bool"),
    "top_logprobs": Field("integer", "0 to 20 alternatives for each token", "int"),
    "chat_template_kwargs": Field("object", "for the GGUF's own chat template"),
    "metadata": Field("any", "accepted; nothing depends on it"),
    "store": Field("any", "accepted; nothing is stored"),
    "service_tier": Field("any", "accepted; there is one"),
    "prediction": Field("any", "accepted; the engine drafts by itself"),
    "verbosity": Field("any", "accepted; no local model knows it"),
    "safety_identifier": Field("any", "accepted; nothing depends on it"),
    "prompt_cache_retention": Field("any", "accepted; nothing depends on it"),
    "prompt_cache_options": Field("any", "accepted; the cache of prompts is the engine's own"),
    "moderation": Field("any", "accepted, and not done: there is no moderation"),
    "prompt_cache_key": Field("any", "accepted; prompts are cached by what they say"),
    "modalities": Field("array", "`text`; anything else is refused"),
    "audio": Field("any", "refused: no model here speaks"),
    "web_search_options": Field("any", "refused: there is no search"),
    "functions": Field("any", "refused: tools took their place"),
    "function_call": Field("any", "refused: tool_choice took its place"),
}
COMPLETION: Mapping[str, Field] = {
    **_SAMPLING,
    **{name: replace(_SAMPLING[name], go="float32") for name in NUMBERS},
    "prompt": Field("string", "goes through the model's template", "string"),
    "suffix": Field("string", "fill in the middle, by models that can", "string"),
    "logprobs": Field("integer", "0 to 20 alternatives for each token", "int"),
    "echo": Field("boolean", "the reply begins with the prompt", "bool"),
    "best_of": Field("integer", "1; more is refused"),
}
_WITHIN: Mapping[str, Mapping[str, Field]] = {
    "stream_options": {"include_usage": Field("boolean", "", "bool")},
    "response_format": {"type": Field("string", "", "string")},
    "reasoning": {"effort": Field("string", "", "string")},
}
_INT = 1 << 63


def check_types(request: Mapping[str, Any], fields: Mapping[str, Field], struct: str) -> None:
    """Invalid for the first member, in the request's order, of a wrong type. Nulls are absent."""
    for name, value in request.items():
        field = fields.get(name)
        if field is None:
            continue
        if not _fits(field.kind, value):
            raise Invalid(_mismatch(name, value, field, struct))
        for inner, wanted in _WITHIN.get(name, {}).items():
            if (item := value.get(inner)) is not None and not _fits(wanted.kind, item):
                raise Invalid(_mismatch(f"{name}.{inner}", item, wanted, struct))


def _fits(kind: Kind, value: Any) -> bool:
    if kind == "any":
        return True
    if plain := _PLAIN.get(kind):
        return isinstance(value, plain)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return kind == "number" or (value % 1 == 0 and -_INT <= value < _INT)


def _mismatch(name: str, value: Any, field: Field, struct: str) -> str:
    if not field.go:
        return f"'{name}' must be {_WORDS.get(field.kind, f'an {field.kind}')}"
    return mismatch(value, f"{struct}.{name}", field.go)


def mismatch(value: Any, where: str, go: str) -> str:
    """What Go's decoder says of a `value` that cannot be its type `go`."""
    kind = _GO_KINDS.get(type(value), "number")
    if kind == "number" and go == "int":
        kind = f"number {value}"
    return f"json: cannot unmarshal {kind} into Go struct field {where} of type {go}"
