"""Calls that rank documents, and the replies."""

from typing import Any

import orjson
import pytest

from gateway.api.rerank import replies as rerank
from gateway.api.rerank.replies import Ranking, RerankReply
from gateway.api.rerank.requests import RERANK, with_texts
from gateway.errors import Invalid

WHOLE = {"model": "m", "query": "q", "documents": ["a", {"text": "b", "id": 7}, ""]}


def reply(ranking: Ranking, **more: Any) -> Any:
    request = with_texts(RERANK.decode(orjson.dumps({**WHOLE, **more})))
    return orjson.loads(RerankReply("rerank-1", request).write(ranking))


def test_a_call_has_all_documents() -> None:
    call = rerank.ranking_call("q", ["a", "b"])
    assert call.path == "/v1/rerank"
    assert orjson.loads(call.body) == {"query": "q", "documents": ["a", "b"]}


def test_the_engines_scores_in_the_order_of_the_documents() -> None:
    results = [{"index": at, "relevance_score": score} for at, score in ((2, 9), (0, 1.5), (1, -7))]
    data = orjson.dumps({"results": results, "usage": {"prompt_tokens": 11}})
    assert rerank.read_ranking(data) == Ranking([1.5, -7, 9], 11)


def test_a_score_that_is_no_number_is_refused() -> None:
    data = b'{"results":[{"index":0,"relevance_score":null}],"usage":{"prompt_tokens":1}}'
    with pytest.raises(Invalid) as error:
        rerank.read_ranking(data)
    assert error.value.message == "scores contain NaN or Inf values"


def test_the_scores_of_several_calls_follow_each_other() -> None:
    assert Ranking([1, 2], 3) + Ranking([0.5], 4) == Ranking([1, 2, 0.5], 7)


def test_the_best_come_first_and_of_equals_the_earlier() -> None:
    assert reply(Ranking([-4, 2.5, 2.5], 9)) == {
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
    results = reply(Ranking([1, 3, 2]), top_n=most)["results"]
    assert [result["index"] for result in results] == places


def test_results_repeat_their_documents_if_that_is_wanted() -> None:
    first, second, _ = reply(Ranking([1, 3, 2]), return_documents=True)["results"]
    assert first == {"index": 1, "relevance_score": 3, "document": {"text": "b"}}
    assert second["document"] == {"text": ""}
