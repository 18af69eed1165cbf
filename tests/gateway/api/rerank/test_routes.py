"""Reranking: which models rank, how many documents a call has, and what is refused."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
import pytest

from gateway.api.rerank.replies import Ranking
from gateway.api.rerank.requests import RerankRequest, with_texts
from gateway.api.rerank.routes import rank
from gateway.errors import Invalid
from gateway.llama.errors import EngineError, from_refusal
from gateway.llama.requests import Call
from runners import Refused
from tests.fakes.server import Gateway, open_gateway

pytestmark = pytest.mark.anyio

RANKS = {"llama.pooling_type": 4}


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with open_gateway() as gateway:
        yield gateway


async def post(gateway: Gateway, path: str = "/v1/rerank", **body: Any) -> httpx.Response:
    usual = {"model": "m", "query": "q", "documents": ["a"]}
    return await gateway.client.post(path, json={**usual, **body})


# ---- refused


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"model": None}, 400, "model is required"),
        ({"model": "nope"}, 404, "model 'nope' not found"),
        ({"model": "nope", "query": ""}, 400, "query is required"),
        ({"model": "speaker"}, 400, '"speaker" does not support reranking'),
        ({"model": "embedder"}, 400, '"embedder" does not support reranking'),
        ({"documents": []}, 400, "documents must be a list of at least one"),
        ({"keep_alive": "1d"}, 400, 'time: unknown unit "d" in duration "1d"'),
    ],
)
async def test_what_cannot_be_had_is_refused(
    gateway: Gateway, body: dict[str, Any], status: int, message: str
) -> None:
    gateway.add(metadata=RANKS)
    gateway.add("speaker")
    gateway.add("embedder", metadata={"llama.pooling_type": 1})
    reply = await post(gateway, **body)
    assert (reply.status_code, reply.json()["error"]["message"]) == (status, message)
    assert gateway.scheduler.snapshot().runners == ()


@pytest.mark.parametrize("path", ["/api/embed", "/api/embeddings", "/v1/embeddings"])
async def test_a_model_that_ranks_gives_no_vectors(gateway: Gateway, path: str) -> None:
    """The engine would read past the score, and tell what it finds there."""
    gateway.add(metadata=RANKS)
    reply = await gateway.client.post(path, json={"model": "m", "input": "x", "prompt": "x"})
    assert reply.status_code == 400
    assert '\\"m\\" does not support embeddings' in reply.text


# ---- calls


@dataclass
class Scale:
    """An engine that gives a document its length for a score, and refuses those that are longer.

    Its tokens are bytes.
    """

    longest: int
    message: str = (
        "input (99 tokens) is too large to process. increase the "
        "physical batch size (current batch size: 9)"
    )
    calls: list[list[str]] = field(default_factory=list)

    async def __call__(self, call: Call) -> bytes:
        body = orjson.loads(call.body)
        if call.path == "/tokenize":
            return orjson.dumps({"tokens": [*body["content"].encode()]})
        if call.path == "/detokenize":
            return orjson.dumps({"content": bytes(body["tokens"]).decode(errors="replace")})
        assert (call.path, body["query"]) == ("/v1/rerank", "q")
        documents = body["documents"]
        self.calls.append(documents)
        if max(map(len, documents)) > self.longest:
            raise from_refusal(Refused(self.message, 500, "server_error"))
        results = [
            {"index": index, "relevance_score": len(document)}
            for index, document in enumerate(documents)
        ]
        return orjson.dumps({"results": results[::-1], "usage": {"prompt_tokens": len(documents)}})


async def score(engine: Scale, documents: list[str], **more: Any) -> Ranking:
    return await rank(engine, with_texts(RerankRequest(query="q", documents=documents, **more)))


async def test_a_few_documents_take_one_call() -> None:
    engine = Scale(9)
    assert await score(engine, ["aaa", "b", "cc"]) == Ranking([3, 1, 2], 3)
    assert engine.calls == [["aaa", "b", "cc"]]


async def test_many_documents_take_several() -> None:
    engine = Scale(200)
    documents = ["x" * (1 + number) for number in range(150)]
    assert await score(engine, documents) == Ranking([*range(1, 151)], 150)
    assert [len(batch) for batch in engine.calls] == [64, 64, 22]


async def test_documents_can_be_cut_at_a_token() -> None:
    engine = Scale(5)
    ranking = await score(engine, ["a", "abcdef", "aaaaé", ""], max_tokens_per_doc=5)
    assert engine.calls == [["a", "abcde", "aaaa", ""]]
    assert ranking.scores == [1, 5, 4, 0]


async def test_a_document_that_is_too_long_is_refused_in_our_words() -> None:
    with pytest.raises(Invalid) as error:
        await score(Scale(3), ["aaa", "bbbb"])
    words = "the query and a document are together longer than the context length"
    assert error.value.message == words


async def test_any_other_refusal_is_the_engines() -> None:
    with pytest.raises(EngineError, match=r"^on fire$"):
        await score(Scale(3, "on fire"), ["bbbb"])


async def test_the_path_of_coheres_client_of_today_leads_here_too(gateway: Gateway) -> None:
    reply = await post(gateway, "/v2/rerank", model="nope")
    assert (reply.status_code, reply.json()) == (
        404,
        (await post(gateway, model="nope")).json(),
    )
    assert reply.json()["error"]["message"] == "model 'nope' not found"
