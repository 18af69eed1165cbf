"""Embeddings in the Ollama and the OpenAI dialect: what is asked, and what is answered.

The engine is asked for many inputs at once, and for base64: it counts the tokens, and decimal
digits would have to be written and read for nothing.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.api.embeddings.vectors import Vector, length, packed, shortest, text, unit, unpacked
from gateway.api.ollama.fields import EMBED
from gateway.api.ollama.replies import JSON, Clock
from gateway.errors import Invalid
from gateway.golang.duration import parse_keep_alive
from gateway.golang.json_decode import ANY, INT, STRING, Custom, Struct
from gateway.golang.json_encode import dumps
from gateway.inference.types import Call, Tally

Input = str | Sequence[int]
"""A text, or its tokens."""

OPENAI = Struct(
    EMBED.name,
    {
        "input": ANY,
        "model": STRING,
        "dimensions": INT,
        "encoding_format": STRING,
        "keep_alive": Custom(parse_keep_alive),
    },
    go=f"openai.{EMBED.name}",
)
TOO_LONG = "the input length exceeds the context length"

_PATH = "/v1/embeddings"
_RAW = -1
# How the engine words it depends on whether the model can read an input in pieces. The first two
# say what just fits, the third what does not.
_REFUSALS = (
    (re.compile(r"too large to process\D*(\d+)\)"), 0),
    (re.compile(r"larger than the max context size \((\d+) "), 0),
    (re.compile(r"exceeds the available context size \((\d+) "), -1),
)
# As long as one result follows another the engine does not look whether anybody waits for them, so
# what a client that left still costs is what is asked for at once.
_MOST_TEXTS = 64
_MOST_CHARACTERS = 1 << 16
# Numbers that take some 15 ms to write.
_MANY_FLOATS = 16_384
_MANY_BYTES = 131_072


@dataclass(frozen=True, slots=True)
class Embedded:
    """What the engine made of the inputs, in their order, and the tokens of all of them."""

    vectors: Sequence[Vector] = ()
    tokens: int = 0

    def __add__(self, more: "Embedded") -> "Embedded":
        return Embedded([*self.vectors, *more.vectors], self.tokens + more.tokens)

    @property
    def numbers(self) -> int:
        return sum(map(len, self.vectors))


def texts(value: Any) -> list[str]:
    """The `input` of an embed request: none, one or several texts."""
    if not value and (value is None or isinstance(value, str)):
        return []
    found = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in found):
        raise Invalid("invalid input type")
    return found


def openai_texts(value: Any) -> list[str]:
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


def batches(inputs: Sequence[str]) -> Iterator[list[str]]:
    """The texts in order, as many in each list as the engine is asked for at once."""
    batch: list[str] = []
    characters = 0
    for one in inputs:
        characters += len(one)
        if batch and (len(batch) == _MOST_TEXTS or characters > _MOST_CHARACTERS):
            yield batch
            batch, characters = [], len(one)
        batch.append(one)
    if batch:
        yield batch


def call(inputs: Sequence[Input], *, raw: bool = False) -> Call:
    """All of them at once. `raw`: vectors as the model makes them, not brought to unit length."""
    payload: dict[str, Any] = {"input": inputs, "encoding_format": "base64"}
    if raw:
        payload["embd_normalize"] = _RAW
    return Call(_PATH, orjson.dumps(payload))


def embedded(data: bytes) -> Embedded:
    """The engine's reply."""
    reply = orjson.loads(data)
    vectors = [unpacked(item["embedding"]) for item in reply["data"]]
    return Embedded(vectors, reply["usage"]["prompt_tokens"])


def room(refusal: str) -> int | None:
    """The most tokens an input may have, by the words with which the engine refused one.

    None if it was refused for something else than its length.
    """
    for pattern, more in _REFUSALS:
        if found := pattern.search(refusal):
            return int(found[1]) + more
    return None


def cut(bare: Sequence[int], whole: Sequence[int], most: int) -> list[int]:
    """The first tokens of a text, `most` of them with what the vocabulary puts around every text.

    `bare` are its tokens, `whole` the same with those additions, which are kept. Invalid if there
    is no room for anything else.
    """
    added = len(whole) - len(bare)
    before = next(at for at in range(added + 1) if whole[at : at + len(bare)] == bare)
    if most <= added:
        raise Invalid("input after truncation exceeds maximum context length")
    return [*whole[:before], *bare[: most - added], *whole[before + len(bare) :]]


class Reply(ABC):
    """A reply in one piece."""

    media_type = JSON
    many = _MANY_FLOATS
    """So many numbers that writing them would be in everybody's way."""

    def __init__(self, model: str, clock: Clock) -> None:
        self.tally = Tally()
        self._model = model
        self._clock = clock
        self._loaded = 0

    def assigned(self) -> None:
        self._loaded = self._clock.elapsed()

    def feed(self, data: bytes) -> bytes:
        """The engine's reply is not passed on."""
        return b""

    def flush(self) -> bytes:
        return b""

    def failure(self, message: str, status: int) -> bytes:
        """Nothing is sent before it is complete."""
        return b""

    @abstractmethod
    def write(self, found: Embedded) -> bytes:
        """All of it; Invalid if there is a NaN or an infinity among the numbers."""


class EmbedReply(Reply):
    """Of /api/embed."""

    def __init__(self, model: str, clock: Clock, dimensions: int) -> None:
        super().__init__(model, clock)
        self._dimensions = dimensions

    def write(self, found: Embedded) -> bytes:
        rows = [shortest(unit(vector, self._dimensions)) for vector in found.vectors]
        reply: dict[str, Any] = {"model": self._model, "embeddings": text(rows)}
        if rows:
            reply["total_duration"] = self._clock.elapsed()
            reply["load_duration"] = self._loaded
        if found.tokens:
            reply["prompt_eval_count"] = found.tokens
        return dumps(reply)


class LegacyReply(Reply):
    """Of /api/embeddings: one vector, as the engine gave it, in the digits of doubles."""

    def write(self, found: Embedded) -> bytes:
        for vector in found.vectors:
            length(vector)
        row = found.vectors[0].tolist() if found.vectors else []
        return dumps({"embedding": text(row)})


class OpenAIReply(Reply):
    """Of /v1/embeddings."""

    media_type = "application/json"

    def __init__(self, model: str, clock: Clock, dimensions: int, *, base64: bool) -> None:
        super().__init__(model, clock)
        self._dimensions = dimensions
        self._base64 = base64
        if base64:
            self.many = _MANY_BYTES

    def write(self, found: Embedded) -> bytes:
        data = [
            {"object": "embedding", "embedding": self._form(vector), "index": index}
            for index, vector in enumerate(found.vectors)
        ]
        usage = {"prompt_tokens": found.tokens, "total_tokens": found.tokens}
        return dumps({"object": "list", "data": data, "model": self._model, "usage": usage})

    def _form(self, vector: Vector) -> str | orjson.Fragment:
        vector = unit(vector, self._dimensions)
        return packed(vector) if self._base64 else text(shortest(vector))
