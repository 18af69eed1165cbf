"""What is asked of the engine to rank documents, and what is answered."""

from typing import Any

import orjson
import pytest

from gateway.api.rerank import replies as rerank
from gateway.api.rerank.replies import Ranked, Reply
from gateway.errors import Invalid
from gateway.golang.json_decode import decode

WHOLE = {"model": "m", "query": "q", "documents": ["a", {"text": "b", "id": 7}, ""]}
NOT_A_LIST = "documents must be a list of at least one"
NOT_A_TEXT = "documents[1] must be a string, or an object whose text is one"

NOT_TEXTS = "documents[1] must be a string, or an object whose rank_fields are such"


def request(**more: Any) -> rerank.Request:
    return rerank.request(decode(orjson.dumps({**WHOLE, **more}), rerank.REQUEST))


def reply(found: Ranked, **more: Any) -> Any:
    return orjson.loads(Reply("rerank-1", request(**more)).write(found))


def test_documents_are_texts_or_objects_with_one() -> None:
    asked = request()
    assert asked == rerank.Request("m", "q", ["a", "b", ""], 3, False, None, None)


def test_what_may_be_said_besides() -> None:
    asked = request(top_n=2, return_documents=True, keep_alive="5m", truncation=True)
    assert (asked.most, asked.show, asked.keep_alive) == (2, True, 300.0)
    assert request(top_n=None, return_documents=None).most == 3
    assert request(max_tokens_per_doc=7, max_chunks_per_doc=1).longest == 7


def test_the_fields_of_a_document_that_count_follow_each_other() -> None:
    documents = [{"title": "a", "text": "b", "year": 7}, {"text": "c"}, "d"]
    asked = request(documents=documents, rank_fields=["title", "text"])
    assert asked.documents == ["a\nb", "c", "d"]
    assert request(rank_fields=[]).documents == ["a", "b", ""]


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


def test_the_engine_is_asked_for_all_scores() -> None:
    call = rerank.call("q", ["a", "b"])
    assert call.path == "/v1/rerank"
    assert orjson.loads(call.body) == {"query": "q", "documents": ["a", "b"]}


def test_the_engines_scores_in_the_order_of_the_documents() -> None:
    results = [{"index": at, "relevance_score": score} for at, score in ((2, 9), (0, 1.5), (1, -7))]
    data = orjson.dumps({"results": results, "usage": {"prompt_tokens": 11}})
    assert rerank.ranked(data) == Ranked([1.5, -7, 9], 11)


def test_a_score_that_is_no_number_is_refused() -> None:
    data = b'{"results":[{"index":0,"relevance_score":null}],"usage":{"prompt_tokens":1}}'
    with pytest.raises(Invalid) as error:
        rerank.ranked(data)
    assert error.value.message == "scores contain NaN or Inf values"


def test_the_scores_of_several_calls_follow_each_other() -> None:
    assert Ranked([1, 2], 3) + Ranked([0.5], 4) == Ranked([1, 2, 0.5], 7)


def test_the_best_come_first_and_of_equals_the_earlier() -> None:
    assert reply(Ranked([-4, 2.5, 2.5], 9)) == {
        "id": "rerank-1",
        "object": "list",
        "model": "m",
        "results": [
            {"index": 1, "relevance_score": 2.5},
            {"index": 2, "relevance_score": 2.5},
            {"index": 0, "relevance_score": -4},
        ],
        "usage": {"prompt_tokens": 9, "total_tokens": 9},
    }


@pytest.mark.parametrize(("most", "places"), [(1, [1]), (2, [1, 2]), (9, [1, 2, 0])])
def test_no_more_results_than_are_wanted(most: int, places: list[int]) -> None:
    found = reply(Ranked([1, 3, 2]), top_n=most)["results"]
    assert [result["index"] for result in found] == places


def test_results_repeat_their_documents_if_that_is_wanted() -> None:
    first, second, _ = reply(Ranked([1, 3, 2]), return_documents=True)["results"]
    assert first == {"index": 1, "relevance_score": 3, "document": {"text": "b"}}
    assert second["document"] == {"text": ""}


def test_nothing_is_said_before_the_whole() -> None:
    writer = Reply("rerank-1", request())
    writer.assigned()
    assert writer.media_type == "application/json"
    assert (writer.feed(b"{"), writer.flush(), writer.failure("no", 500)) == (b"", b"", b"")
    assert writer.tally.tokens == 0
