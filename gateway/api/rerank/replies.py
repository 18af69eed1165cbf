"""Reranking: the calls of the engine, and the reply."""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from gateway.api.reply import PLAIN_JSON
from gateway.api.rerank.requests import RerankRequest
from gateway.errors import Invalid
from gateway.golang.json_encode import dumps
from gateway.llama.requests import Call

TOO_LONG = "the query and a document are together longer than the context length"

_PATH = "/v1/rerank"


@dataclass(frozen=True, slots=True)
class Ranking:
    """The scores of documents, in the order of the documents, and the tokens of all pairs."""

    scores: Sequence[float] = ()
    tokens: int = 0

    def __add__(self, more: "Ranking") -> "Ranking":
        return Ranking([*self.scores, *more.scores], self.tokens + more.tokens)


def ranking_call(query: str, documents: Sequence[str]) -> Call:
    return Call(_PATH, orjson.dumps({"query": query, "documents": documents}))


def read_ranking(data: bytes) -> Ranking:
    """The engine's reply. Invalid if there is a NaN or an infinity among its scores."""
    reply = orjson.loads(data)
    # The engine has them in the order of their scores, which is that of one batch alone.
    results = sorted(reply["results"], key=lambda item: item["index"])
    scores = [item["relevance_score"] for item in results]
    # JSON has no number for them, so the engine writes null.
    if None in scores:
        raise Invalid("scores contain NaN or Inf values")
    return Ranking(scores, reply["usage"]["prompt_tokens"])


class RerankReply:
    media_type = PLAIN_JSON

    def __init__(self, ident: str, request: RerankRequest) -> None:
        self._ident = ident
        self._request = request

    def write(self, ranking: Ranking) -> bytes:
        """The best documents first."""
        request = self._request
        # Stable: of documents that are equal that which the request has first stays first.
        best = sorted(enumerate(ranking.scores), key=lambda pair: -pair[1])[: request.results]
        results: list[dict[str, object]] = []
        for index, score in best:
            result: dict[str, object] = {"index": index, "relevance_score": score}
            if request.return_documents:
                result["document"] = {"text": request.texts[index]}
            results.append(result)
        return dumps(
            {
                "id": self._ident,
                "object": "list",
                "model": request.model,
                "results": results,
                "usage": {"prompt_tokens": ranking.tokens, "total_tokens": ranking.tokens},
            }
        )
