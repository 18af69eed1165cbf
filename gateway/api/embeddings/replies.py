"""Embeddings: calls of the engine, and the replies of Ollama's and of OpenAI's API."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from gateway.api.clock import Clock
from gateway.api.embeddings.vectors import Vector, length, packed, shortest, text, unit, unpacked
from gateway.api.reply import JSON, PLAIN_JSON
from gateway.errors import Invalid
from gateway.golang.json_encode import dumps
from gateway.llama.requests import Call

EmbeddingInput = str | Sequence[int]
"""A text, or its tokens."""

TOO_LONG = "the input length exceeds the context length"

_PATH = "/v1/embeddings"
# The engine's "embd_normalize"; without it vectors come with length 1.
_RAW = -1
# Numbers that take some 15 ms to write: for longer, streams of other clients should not wait.
_MANY_FLOATS = 16_384
_MANY_BYTES = 131_072


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The vectors of the inputs, in their order, and the tokens of all of them."""

    vectors: Sequence[Vector] = ()
    tokens: int = 0

    def __add__(self, more: "Embeddings") -> "Embeddings":
        return Embeddings([*self.vectors, *more.vectors], self.tokens + more.tokens)

    @property
    def numbers(self) -> int:
        return sum(map(len, self.vectors))


def embedding_call(inputs: Sequence[EmbeddingInput], *, raw: bool = False) -> Call:
    """All of them at once. `raw`: vectors as the model makes them, not brought to unit length."""
    # In base64: decimal digits would have to be written and read for nothing.
    payload: dict[str, object] = {"input": inputs, "encoding_format": "base64"}
    if raw:
        payload["embd_normalize"] = _RAW
    return Call(_PATH, orjson.dumps(payload))


def read_embeddings(data: bytes) -> Embeddings:
    """The engine's reply."""
    reply = orjson.loads(data)
    vectors = [unpacked(item["embedding"]) for item in reply["data"]]
    return Embeddings(vectors, reply["usage"]["prompt_tokens"])


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


class EmbeddingReply(ABC):
    """A reply in one piece."""

    media_type = JSON
    most_in_loop = _MANY_FLOATS
    """The most numbers that are written in the event loop."""

    def __init__(self, model: str, clock: Clock) -> None:
        self._model = model
        self._clock = clock
        self._loaded = 0

    def assigned(self) -> None:
        self._loaded = self._clock.elapsed()

    @abstractmethod
    def write(self, embeddings: Embeddings) -> bytes:
        """All of it; Invalid if there is a NaN or an infinity among the numbers."""


class EmbedReply(EmbeddingReply):
    """Of /api/embed."""

    def __init__(self, model: str, clock: Clock, dimensions: int) -> None:
        super().__init__(model, clock)
        self._dimensions = dimensions

    def write(self, embeddings: Embeddings) -> bytes:
        rows = [shortest(unit(vector, self._dimensions)) for vector in embeddings.vectors]
        reply: dict[str, object] = {"model": self._model, "embeddings": text(rows)}
        # Without input Ollama writes neither times nor tokens.
        if rows:
            reply["total_duration"] = self._clock.elapsed()
            reply["load_duration"] = self._loaded
        if embeddings.tokens:
            reply["prompt_eval_count"] = embeddings.tokens
        return dumps(reply)


class OldEmbedReply(EmbeddingReply):
    """Of /api/embeddings: one vector, as the engine gave it, in the digits of doubles."""

    def write(self, embeddings: Embeddings) -> bytes:
        # Only for its check: JSON has no number for a NaN, and orjson would write null.
        for vector in embeddings.vectors:
            length(vector)
        row = embeddings.vectors[0].tolist() if embeddings.vectors else []
        return dumps({"embedding": text(row)})


class OpenAIEmbedReply(EmbeddingReply):
    """Of /v1/embeddings."""

    media_type = PLAIN_JSON

    def __init__(self, model: str, clock: Clock, dimensions: int, *, base64: bool) -> None:
        super().__init__(model, clock)
        self._dimensions = dimensions
        self._base64 = base64
        if base64:
            self.most_in_loop = _MANY_BYTES

    def write(self, embeddings: Embeddings) -> bytes:
        data: list[dict[str, object]] = []
        for index, vector in enumerate(embeddings.vectors):
            vector = unit(vector, self._dimensions)
            embedding = packed(vector) if self._base64 else text(shortest(vector))
            data.append({"object": "embedding", "embedding": embedding, "index": index})
        usage = {"prompt_tokens": embeddings.tokens, "total_tokens": embeddings.tokens}
        return dumps({"object": "list", "data": data, "model": self._model, "usage": usage})
