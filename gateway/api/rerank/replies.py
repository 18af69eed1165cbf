"""Reranking: how well each of some documents answers a query.

One form of request and reply for the clients of Jina and of Cohere; both read the members of it
that they know. The scores are those that the model gives, on whatever scale that is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.errors import Invalid
from gateway.golang.duration import parse_keep_alive
from gateway.golang.json_decode import ANY, BOOL, INT, STRING, Custom, ListOf, Struct
from gateway.golang.json_encode import dumps
from gateway.inference.types import Call, Tally

REQUEST = Struct(
    "RerankRequest",
    {
        "model": STRING,
        "query": STRING,
        "documents": ANY,
        "top_n": INT,
        "return_documents": BOOL,
        "rank_fields": ListOf(STRING),
        "max_tokens_per_doc": INT,
        "max_chunks_per_doc": INT,
        "keep_alive": Custom(parse_keep_alive),
    },
    go="RerankRequest",
)
TOO_LONG = "the query and a document are together longer than the context length"

_PATH = "/v1/rerank"
_FIELDS = ("text",)


@dataclass(frozen=True, slots=True)
class Ranked:
    """The scores of documents, in the order of the documents, and the tokens of all pairs."""

    scores: Sequence[float] = ()
    tokens: int = 0

    def __add__(self, more: "Ranked") -> "Ranked":
        return Ranked([*self.scores, *more.scores], self.tokens + more.tokens)


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be ranked; `most` is how many results are wanted."""

    model: str
    query: str
    documents: Sequence[str]
    most: int
    show: bool
    """Whether results repeat their documents."""
    longest: int | None
    """Of a document's tokens so many count; None: all."""
    keep_alive: float | None


def request(body: Mapping[str, Any]) -> Request:
    """A decoded body, checked. The model's name is not looked at."""
    query: str = body.get("query", "")
    if not query:
        raise Invalid("query is required")
    documents = _documents(body.get("documents"), body.get("rank_fields") or _FIELDS)
    for count in ("top_n", "max_tokens_per_doc", "max_chunks_per_doc"):
        if body.get(count, 1) < 1:
            raise Invalid(f"{count} must be at least 1")
    return Request(
        body.get("model", ""),
        query,
        documents,
        body.get("top_n", len(documents)),
        body.get("return_documents", False),
        body.get("max_tokens_per_doc"),
        body.get("keep_alive"),
    )


def _documents(value: Any, fields: Sequence[str]) -> list[str]:
    if not isinstance(value, list) or not value:
        raise Invalid("documents must be a list of at least one")
    return [_document(item, index, fields) for index, item in enumerate(value)]


def _document(value: Any, index: int, fields: Sequence[str]) -> str:
    """A document is a text, or an object with texts in `fields`, which follow each other."""
    texts = [value]
    if isinstance(value, dict):
        texts = [value[field] for field in fields if field in value]
    if not texts or not all(isinstance(text, str) for text in texts):
        wanted = "text is one" if fields == _FIELDS else "rank_fields are such"
        raise Invalid(f"documents[{index}] must be a string, or an object whose {wanted}")
    return "\n".join(texts)


def call(query: str, documents: Sequence[str]) -> Call:
    return Call(_PATH, orjson.dumps({"query": query, "documents": documents}))


def ranked(data: bytes) -> Ranked:
    """The engine's reply, whose results stand in the order of their scores.

    Invalid if there is a NaN or an infinity among them, which JSON has no number for.
    """
    reply = orjson.loads(data)
    results = sorted(reply["results"], key=lambda item: item["index"])
    scores = [item["relevance_score"] for item in results]
    if None in scores:
        raise Invalid("scores contain NaN or Inf values")
    return Ranked(scores, reply["usage"]["prompt_tokens"])


class Reply:
    """A reply in one piece: nothing of the engine's is passed on."""

    media_type = "application/json"

    def __init__(self, ident: str, asked: Request) -> None:
        self.tally = Tally()
        self._ident = ident
        self._asked = asked

    def assigned(self) -> None:
        """It does not say when that was."""

    def feed(self, data: bytes) -> bytes:
        return b""

    def flush(self) -> bytes:
        return b""

    def failure(self, message: str, status: int) -> bytes:
        return b""

    def write(self, found: Ranked) -> bytes:
        """The best documents first; of equal ones that which the request has first."""
        best = sorted(enumerate(found.scores), key=lambda pair: -pair[1])[: self._asked.most]
        return dumps(
            {
                "id": self._ident,
                "object": "list",
                "model": self._asked.model,
                "results": [self._result(index, score) for index, score in best],
                "usage": {"prompt_tokens": found.tokens, "total_tokens": found.tokens},
            }
        )

    def _result(self, index: int, score: float) -> dict[str, Any]:
        result: dict[str, Any] = {"index": index, "relevance_score": score}
        if self._asked.show:
            result["document"] = {"text": self._asked.documents[index]}
        return result
