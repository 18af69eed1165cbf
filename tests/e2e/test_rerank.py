"""Reranking by the real engine, of a model whose every score is known beforehand."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from runners import Engine
from tests.fakes.caller import Caller
from tests.fakes.process import Gateway, eventually, gateway
from tests.fakes.reranker import reranker, score, tokens
from tests.fakes.scripts import PLAIN, create, upload

pytestmark = pytest.mark.engine

DOCUMENTS = ["three 3", "nine 9", "a word", "seven 7"]


@pytest.fixture(scope="module")
def serving(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("rerank")
    with gateway(folder, engine=engine.server, num_parallel=4) as running:
        with running.client() as client:
            ranking(client, folder)
            create(client, "plain", PLAIN, folder)
        yield running


@pytest.fixture
def client(serving: Gateway) -> Iterator[httpx.Client]:
    with serving.client() as client:
        yield client


def ranking(client: httpx.Client, folder: Path) -> None:
    digest = upload(client, reranker(folder / "ranker.gguf").read_bytes())
    body = {"model": "ranker", "files": {"ranker.gguf": digest}, "stream": False}
    assert client.post("/api/create", json=body).json() == {"status": "success"}


def rerank(client: httpx.Client, documents: Any, **body: Any) -> dict[str, Any]:
    whole = {"model": "ranker", "query": "how?", "documents": documents, **body}
    reply = client.post("/v1/rerank", json=whole)
    assert reply.status_code == 200, reply.text
    value: dict[str, Any] = reply.json()
    return value


def refusal(client: httpx.Client, path: str, **body: Any) -> tuple[int, str]:
    reply = client.post(path, json=body)
    error = reply.json()["error"]
    return reply.status_code, error["message"] if path.startswith("/v1/") else error


def test_the_best_documents_come_first(client: httpx.Client) -> None:
    reply = rerank(client, DOCUMENTS)
    assert [*reply] == ["id", "object", "model", "results", "usage"]
    assert reply["results"] == [
        {"index": index, "relevance_score": pytest.approx(score(DOCUMENTS[index]), rel=1e-4)}
        for index in (1, 3, 0, 2)
    ]
    count = sum(tokens("how?", document) for document in DOCUMENTS)
    assert reply["usage"] == {"prompt_tokens": count, "total_tokens": count}
    assert (reply["model"], reply["object"], reply["id"][:7]) == ("ranker", "list", "rerank-")


def test_objects_are_documents_too_and_can_be_repeated(client: httpx.Client) -> None:
    documents = [{"text": "one 1", "title": "not this"}, "eight 8"]
    reply = rerank(client, documents, top_n=1, return_documents=True)
    wanted = {"index": 1, "relevance_score": pytest.approx(score("8")), "document": None}
    assert reply["results"] == [{**wanted, "document": {"text": "eight 8"}}]
    (_, last) = rerank(client, documents, return_documents=True)["results"]
    assert last["document"] == {"text": "one 1"}


def test_documents_can_be_cut_at_a_token(client: httpx.Client) -> None:
    """By bytes, as those are this model's tokens; of what is left the last one decides."""
    documents = ["1234567", "9é1", "55"]
    reply = rerank(client, documents, max_tokens_per_doc=2, return_documents=True)
    assert reply["results"] == [
        {
            "index": index,
            "relevance_score": pytest.approx(score(left), rel=1e-4),
            "document": {"text": documents[index]},
        }
        for index, left in ((1, "9"), (2, "55"), (0, "12"))
    ]
    assert reply["usage"]["prompt_tokens"] == sum(
        tokens("how?", left) for left in ("9", "55", "12")
    )


def test_the_fields_of_objects_can_be_chosen(client: httpx.Client) -> None:
    documents = [{"title": "9", "text": "1"}, {"title": "2", "text": "8"}]
    result = [
        [item["index"] for item in rerank(client, documents, rank_fields=fields)["results"]]
        for fields in (["title"], ["text"], ["text", "title"])
    ]
    assert result == [[0, 1], [1, 0], [0, 1]]


def test_more_documents_than_are_asked_at_once_keep_their_numbers(client: httpx.Client) -> None:
    documents = [f"document {number}" for number in range(150)]
    reply = rerank(client, documents, top_n=16)
    assert [item["index"] for item in reply["results"]] == [
        *range(9, 150, 10),
        8,
    ]


def test_show_lists_what_ollama_lists(client: httpx.Client) -> None:
    shown = client.post("/api/show", json={"model": "ranker"}).json()
    assert shown["capabilities"] == ["embedding"]


def test_other_models_are_refused(client: httpx.Client) -> None:
    body = {"model": "plain", "query": "q", "documents": ["d"]}
    assert refusal(client, "/v1/rerank", **body) == (400, '"plain" does not support reranking')


def test_a_model_that_ranks_gives_no_vectors(client: httpx.Client) -> None:
    """The engine would answer with whatever stands behind the score in its memory."""
    words = '"ranker" does not support embeddings'
    for path, member in (("embed", "input"), ("embeddings", "prompt")):
        assert refusal(client, f"/api/{path}", model="ranker", **{member: "x"}) == (400, words)
    assert refusal(client, "/v1/embeddings", model="ranker", input="x") == (400, words)


def test_what_is_too_long_is_the_clients_fault(serving: Gateway, client: httpx.Client) -> None:
    rerank(client, ["short 1"])
    children = serving.children()
    words = "the query and a document are together longer than the context length"
    body = {"model": "ranker", "query": "q", "documents": ["fits 5", "x" * 600]}
    assert refusal(client, "/v1/rerank", **body) == (400, words)
    assert serving.children() == children


def test_the_slot_of_a_client_that_left_is_free(engine: Engine, tmp_path: Path) -> None:
    with gateway(tmp_path, engine=engine.server, num_parallel=1) as alone, alone.client() as client:
        ranking(client, tmp_path)
        rerank(client, ["x"])
        (child,) = alone.children()
        before = child.cpu_times().user
        body = {"model": "ranker", "query": "q", "documents": ["a" * 400] * 20_000}
        with Caller(alone.url, "/v1/rerank", body):
            eventually(lambda: child.cpu_times().user > before + 0.5)
        assert rerank(client, ["ab 5"])["results"][0]["relevance_score"] == pytest.approx(0.5)
        assert alone.children() == [child]
