"""The `options` of a request: names, types, defaults, and what of them travels with each prompt.

Defaults lie under a model's stored parameters, which lie under the request's own options. Options
of scope "load" shape the runner; those of scope "request" go with every request to it.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal

from gateway.errors import Invalid

Type = Literal["integer", "float32", "boolean", "array"]
Scope = Literal["load", "request"]

_INT64 = 1 << 63
_FLOAT32_MAX = 3.4028234663852886e38


@dataclass(frozen=True, slots=True)
class Option:
    """One line of the table: how an option is named, typed, defaulted and used."""

    name: str
    type: Type
    default: Any
    scope: Scope

    def read(self, value: object) -> object:
        """A JSON value as this option's type; Invalid if it is of another."""
        # First of all, for to Python a bool is a number as well.
        if isinstance(value, bool):
            if self.type == "boolean":
                return value
        elif isinstance(value, int | float):
            # The bounds are those of Go's types. NaN is within none; a fraction is cut off.
            if self.type == "integer" and -_INT64 <= value < _INT64:
                return int(value)
            if self.type == "float32" and abs(value) <= _FLOAT32_MAX:
                return float(value)
        elif self.type == "array":
            if isinstance(value, str):
                return (value,)
            if isinstance(value, list | tuple):
                if not all(isinstance(item, str) for item in value):
                    raise Invalid(f'option "{self.name}" must be of an array of strings')
                return tuple(value)
        raise Invalid(f'option "{self.name}" must be of type {self.type}')


def _load(type_: Type, default: Any) -> Any:
    return field(default=default, metadata={"type": type_, "scope": "load"})


def _request(type_: Type, default: Any) -> Any:
    return field(default=default, metadata={"type": type_, "scope": "request"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Every option with its value. `given` names those that the model or the request set.

    `num_ctx`, `main_gpu` and `use_mmap` are None, and `num_thread` is 0, where the launcher is to
    choose; `num_batch` is only a hint to it unless it is given, and
    `draft_num_predict` is read and not used.
    """

    num_ctx: int | None = _load("integer", None)
    num_batch: int = _load("integer", 512)
    num_gpu: int = _load("integer", -1)
    main_gpu: int | None = _load("integer", None)
    use_mmap: bool | None = _load("boolean", None)
    num_thread: int = _load("integer", 0)
    draft_num_predict: int = _load("integer", 4)
    num_keep: int = _request("integer", 4)
    seed: int = _request("integer", -1)
    num_predict: int = _request("integer", -1)
    top_k: int = _request("integer", 40)
    top_p: float = _request("float32", 0.9)
    min_p: float = _request("float32", 0.0)
    typical_p: float = _request("float32", 1.0)
    repeat_last_n: int = _request("integer", 64)
    temperature: float = _request("float32", 0.8)
    repeat_penalty: float = _request("float32", 1.0)
    presence_penalty: float = _request("float32", 0.0)
    frequency_penalty: float = _request("float32", 0.0)
    stop: tuple[str, ...] = _request("array", ())
    given: frozenset[str] = frozenset()


TABLE: Mapping[str, Option] = {
    entry.name: Option(entry.name, entry.metadata["type"], entry.default, entry.metadata["scope"])
    for entry in fields(Options)
    if entry.metadata and entry.default is not MISSING
}


def merge(
    parameters: Mapping[str, object], options: Mapping[str, object]
) -> tuple[Options, tuple[str, ...]]:
    """A model's `parameters` and a request's `options` laid over the defaults.

    Also gives the names that no option has, each once, for the log. Nulls are skipped. Invalid if
    a value has the wrong type, whichever of the two it comes from.
    """
    values: dict[str, Any] = {}
    unknown: dict[str, None] = {}
    for source in (parameters, options):
        for name, value in source.items():
            if name not in TABLE:
                unknown[name] = None
            elif value is not None:
                values[name] = TABLE[name].read(value)
    return Options(**values, given=frozenset(values)), tuple(unknown)


def sampling(options: Options, context_length: int) -> dict[str, object]:
    """What every request to llama-server carries, for a slot of `context_length` tokens."""
    # The server has no bound of its own, and a model that repeats itself comes to no end.
    most = 10 * context_length
    return {
        "n_predict": options.num_predict if 0 <= options.num_predict <= most else most,
        # The server refuses less than -1.
        "n_keep": max(options.num_keep, -1),
        "seed": options.seed,
        "temperature": options.temperature,
        "top_k": options.top_k,
        "top_p": options.top_p,
        "min_p": options.min_p,
        "typical_p": options.typical_p,
        # The server refuses a negative number, and allocates for it, so a huge one is cut as well.
        "repeat_last_n": (
            options.repeat_last_n
            if 0 <= options.repeat_last_n <= context_length
            else context_length
        ),
        "repeat_penalty": options.repeat_penalty,
        "presence_penalty": options.presence_penalty,
        "frequency_penalty": options.frequency_penalty,
        # An empty text is in every reply, and would end it at once.
        "stop": [text for text in options.stop if text],
    }
