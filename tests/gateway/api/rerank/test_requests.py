"""Requests for reranking, with_texts."""

from typing import Any

import orjson
import pytest

from gateway.api.rerank.requests import RERANK, RerankRequest, with_texts
from gateway.errors import Invalid

WHOLE = {"model": "m", "query": "q", "documents": ["a", {"text": "b", "id": 7}, ""]}
NOT_A_LIST = "documents must be a list of at least one"
NOT_A_TEXT = "documents[1] must be a string, or an object whose text is one"

NOT_TEXTS = "documents[1] must be a string, or an object whose rank_fields are such"


def request(**more: Any) -> RerankRequest:
    return with_texts(RERANK.decode(orjson.dumps({**WHOLE, **more})))


def test_documents_are_texts_or_objects_with_one() -> None:
    plain = request()
    assert (plain.model, plain.query, plain.texts) == ("m", "q", ["a", "b", ""])
    assert (plain.results, plain.return_documents, plain.keep_alive) == (3, False, None)
    assert plain.max_tokens_per_doc is None


def test_optional_fields() -> None:
    wanted = request(top_n=2, return_documents=True, keep_alive="5m", truncation=True)
    assert (wanted.results, wanted.return_documents, wanted.keep_alive) == (2, True, 300.0)
    assert request(top_n=None, return_documents=None).results == 3
    assert request(max_tokens_per_doc=7, max_chunks_per_doc=1).max_tokens_per_doc == 7


def test_the_fields_of_a_document_that_count_follow_each_other() -> None:
    documents = [{"title": "a", "text": "b", "year": 7}, {"text": "c"}, "d"]
    wanted = request(documents=documents, rank_fields=["title", "text"])
    assert wanted.texts == ["a\nb", "c", "d"]
    assert request(rank_fields=[]).texts == ["a", "b", ""]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"query": None}, "query is required"),
        ({"query": ""}, "query is required"),
        ({"documents": None}, NOT_A_LIST),
        ({"documents": []}, NOT_A_LIST),
        ({"documents": "a"}, NOT_A_LIST),
        ({"documents": ["a", 1]}, NOT_A_TEXT),
        ({"documents": ["a", {"text": None}]}, NOT_A_TEXT),
        ({"documents": ["a", {"title": "b"}]}, NOT_A_TEXT),
        ({"rank_fields": ["id", "text"]}, NOT_TEXTS),
        ({"rank_fields": ["title"]}, NOT_TEXTS),
        ({"max_tokens_per_doc": 0}, "max_tokens_per_doc must be at least 1"),
        ({"max_chunks_per_doc": -1}, "max_chunks_per_doc must be at least 1"),
        ({"top_n": 0}, "top_n must be at least 1"),
        ({"top_n": -1}, "top_n must be at least 1"),
        (
            {"query": ["q"]},
            "json: cannot unmarshal array into Go struct field RerankRequest.query of type string",
        ),
        (
            {"top_n": True},
            "json: cannot unmarshal bool into Go struct field RerankRequest.top_n of type int",
        ),
    ],
)
def test_what_cannot_be_ranked_is_refused(body: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid) as error:
        request(**body)
    assert error.value.message == message
