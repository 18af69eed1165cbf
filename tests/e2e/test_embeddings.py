"""Embeddings by the real engine, of models whose every vector is known beforehand.

A scripted model turns each token into a vector of its own that has one number other than zero, so
the mean over a text's tokens says which tokens there were, and how many of each.
"""

import math
import struct
from array import array
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import BadRequestError, OpenAI

from runners import Engine
from runners.build.scripted_model import CHATML
from tests.fakes.caller import Caller
from tests.fakes.process import Gateway, eventually, gateway
from tests.fakes.scripts import Scripted, create

pytestmark = pytest.mark.engine

CONTEXT = 64
WIDTH = 384
MEAN, LAST = 1, 3
BEGIN = 1
"""The token that stands before every text; a letter's number follows from its place in ASCII."""
MODELS = {
    "mean": Scripted(("Mute.",), more={"metadata": {"llama.pooling_type": MEAN}}),
    "small": Scripted(
        ("Mute.",), more={"metadata": {"llama.pooling_type": MEAN}, "context": CONTEXT}
    ),
    "last": Scripted(("Mute.",), more={"metadata": {"llama.pooling_type": LAST}, "context": 256}),
    "speaker": Scripted(("Hi.",), template=CHATML),
}
TOO_LONG = "the input length exceeds the context length"


@pytest.fixture(scope="module")
def serving(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("embeddings")
    with gateway(folder, engine=engine.server, num_parallel=4) as running:
        with running.client() as client:
            for name, script in MODELS.items():
                create(client, name, script, folder)
        yield running


@pytest.fixture
def client(serving: Gateway) -> Iterator[httpx.Client]:
    with serving.client() as client:
        yield client


def ask(client: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    reply = client.post(path, json=body)
    assert reply.status_code == 200, reply.text
    value: dict[str, Any] = reply.json()
    return value


def embed(client: httpx.Client, inputs: Any, model: str = "mean", **body: Any) -> dict[str, Any]:
    return ask(client, "/api/embed", model=model, input=inputs, **body)


def refusal(client: httpx.Client, path: str, **body: Any) -> tuple[int, str]:
    reply = client.post(path, json=body)
    error = reply.json()["error"]
    return reply.status_code, error["message"] if path.startswith("/v1/") else error


def token(letter: str) -> int:
    """<unk>, <s> and two marks, 256 bytes, a blank, then ASCII from "!" on."""
    return 4 + 256 + 1 + ord(letter) - ord("!")


def mean(text: str) -> dict[int, float]:
    """The numbers other than zero of the vector of `text`, by their place."""
    counts = {BEGIN: 1, **Counter(token(letter) for letter in text)}
    norm = math.hypot(*counts.values())
    return {place: count / norm for place, count in counts.items()}


def seen(vector: list[float]) -> dict[int, float]:
    return {place: value for place, value in enumerate(vector) if abs(value) > 1e-6}


def close(vector: list[float], text: str) -> bool:
    """Half floats have eleven bits."""
    wanted = mean(text)
    return seen(vector) == {key: pytest.approx(value, abs=1e-3) for key, value in wanted.items()}


def test_a_text_becomes_the_vector_of_its_tokens(client: httpx.Client) -> None:
    reply = embed(client, "hello")
    assert [*reply] == [
        "model",
        "embeddings",
        "total_duration",
        "load_duration",
        "prompt_eval_count",
    ]
    (vector,) = reply["embeddings"]
    assert close(vector, "hello")
    assert math.hypot(*vector) == pytest.approx(1, abs=1e-6)
    assert reply["prompt_eval_count"] == 1 + len("hello")
    assert reply["total_duration"] > reply["load_duration"] > 0


def test_many_texts_keep_their_order(client: httpx.Client) -> None:
    words = [chr(ord("a") + number % 26) * (1 + number % 7) for number in range(200)]
    reply = embed(client, words)
    assert all(close(vector, word) for vector, word in zip(reply["embeddings"], words, strict=True))
    assert reply["prompt_eval_count"] == sum(1 + len(word) for word in words)


def test_an_empty_text_among_others_is_a_text(client: httpx.Client) -> None:
    reply = embed(client, ["", "a"])
    assert seen(reply["embeddings"][0]) == {BEGIN: pytest.approx(1)}
    assert reply["prompt_eval_count"] == 1 + 2


def test_without_input_the_model_is_loaded(client: httpx.Client) -> None:
    embed(client, "x", model="last", keep_alive=0)
    nothings: tuple[Any, ...] = (None, "", [])
    for nothing in nothings:
        assert embed(client, nothing, model="last") == {"model": "last", "embeddings": []}
    assert "last:latest" in [model["name"] for model in client.get("/api/ps").json()["models"]]
    assert ask(client, "/api/embeddings", model="last") == {"embedding": []}


def test_a_vector_can_be_cut_and_has_unit_length_again(client: httpx.Client) -> None:
    whole = embed(client, "ab")["embeddings"][0]
    (vector,) = embed(client, "ab", dimensions=token("a") + 1)["embeddings"]
    assert len(vector) == token("a") + 1
    assert seen(vector) == {BEGIN: pytest.approx(0.5**0.5), token("a"): pytest.approx(0.5**0.5)}
    for ignored in (-1, 0, 100_000):
        assert embed(client, "ab", dimensions=ignored)["embeddings"][0] == whole


def test_the_last_token_decides_where_the_model_says_so(client: httpx.Client) -> None:
    reply = embed(client, ["abc", "x"], model="last")
    assert [seen(vector) for vector in reply["embeddings"]] == [
        {token("c"): pytest.approx(1)},
        {token("x"): pytest.approx(1)},
    ]


@pytest.mark.parametrize(("model", "most"), [("small", CONTEXT), ("last", 255)])
def test_a_text_that_is_too_long_is_cut(client: httpx.Client, model: str, most: int) -> None:
    text = "a" * (most - 2) + "b" + "c" * 500
    reply = embed(client, ["ab", text], model=model)
    assert reply["prompt_eval_count"] == 3 + most
    short = embed(client, text[: most - 1], model=model)
    assert short["prompt_eval_count"] == most
    assert reply["embeddings"][1] == short["embeddings"][0]
    assert seen(reply["embeddings"][1]).keys() == (
        {BEGIN, token("a"), token("b")} if model == "small" else {token("b")}
    )
    usage = ask(client, "/v1/embeddings", model=model, input=text)["usage"]
    assert usage == {"prompt_tokens": most, "total_tokens": most}


@pytest.mark.parametrize("model", ["small", "last"])
def test_a_text_that_must_not_be_cut_is_refused(client: httpx.Client, model: str) -> None:
    text = "a" * 600
    body: dict[str, Any] = {"model": model, "input": ["x", text], "truncate": False}
    assert refusal(client, "/api/embed", **body) == (400, TOO_LONG)
    assert refusal(client, "/api/embeddings", model=model, prompt=text) == (400, TOO_LONG)
    fits = embed(client, "a" * 63, model=model, truncate=False)
    assert fits["prompt_eval_count"] == 64


def test_a_smaller_context_can_be_asked_for(client: httpx.Client) -> None:
    reply = embed(client, "abcdefgh", options={"num_ctx": 6}, keep_alive=0)
    assert reply["prompt_eval_count"] == 6
    assert close(reply["embeddings"][0], "abcde")
    body: dict[str, Any] = {"model": "mean", "input": "abcdefgh", "options": {"num_ctx": 1}}
    words = "input after truncation exceeds maximum context length"
    assert refusal(client, "/api/embed", **body, keep_alive=0) == (400, words)


def test_a_batch_smaller_than_the_context_bounds_a_text(client: httpx.Client) -> None:
    reply = embed(client, "a" * 50, options={"num_batch": 10}, keep_alive=0)
    assert reply["prompt_eval_count"] == 10


@pytest.mark.parametrize("length", [2, 5, 30, 63])
def test_every_context_fits_some_number_of_slots(client: httpx.Client, length: int) -> None:
    reply = embed(client, ["ab"] * 5, options={"num_ctx": length + 4}, keep_alive=0)
    assert reply["prompt_eval_count"] == 15


def test_the_old_endpoint_gives_one_vector_and_nothing_else(client: httpx.Client) -> None:
    reply = ask(client, "/api/embeddings", model="mean", prompt="ab", input="ignored")
    assert [*reply] == ["embedding"]
    assert close(reply["embedding"], "ab")


def test_openais_form(client: httpx.Client) -> None:
    reply = ask(client, "/v1/embeddings", model="mean", input=["ab", "c"], user="somebody")
    assert [*reply] == ["object", "data", "model", "usage"]
    assert [[*item] for item in reply["data"]] == [["object", "embedding", "index"]] * 2
    assert [item["index"] for item in reply["data"]] == [0, 1]
    assert close(reply["data"][1]["embedding"], "c")
    assert (reply["object"], reply["model"]) == ("list", "mean")
    assert reply["usage"] == {"prompt_tokens": 5, "total_tokens": 5}


def test_base64_holds_the_same_numbers(client: httpx.Client) -> None:
    body: dict[str, Any] = {"model": "mean", "input": "hello", "dimensions": 300}
    (plain,) = ask(client, "/v1/embeddings", **body)["data"]
    (packed,) = ask(client, "/v1/embeddings", **body, encoding_format="BASE64")["data"]
    data = b64decode(packed["embedding"], validate=True)
    floats = list(struct.unpack(f"<{len(data) // 4}f", data))
    assert floats == [pytest.approx(value, rel=1e-7) for value in plain["embedding"]]
    assert len(floats) == 300


@pytest.mark.parametrize("dimensions", [None, 300, 1])
def test_the_official_client_reads_the_same_floats_from_both_forms(
    serving: Gateway, client: httpx.Client, dimensions: int | None
) -> None:
    """It asks for base64 where nobody says otherwise; digits name the same 32 bits."""
    inputs = ["hello", "wörld \N{LLAMA}", ""]
    more: Any = {} if dimensions is None else {"dimensions": dimensions}
    with OpenAI(base_url=f"{serving.url}/v1", api_key="x", max_retries=0) as official:
        result = official.embeddings.create(model="mean", input=inputs, user="u", **more)
    assert [item.index for item in result.data] == [0, 1, 2]
    reply = ask(client, "/v1/embeddings", model="mean", input=inputs, **more)
    assert [array("f", item.embedding) for item in result.data] == [
        array("f", item["embedding"]) for item in reply["data"]
    ]
    assert len(result.data[0].embedding) == (dimensions or WIDTH)
    assert result.usage.total_tokens == reply["usage"]["total_tokens"] == 6 + 12 + 1


def test_the_official_client_is_told_that_tokens_are_no_input(serving: Gateway) -> None:
    with OpenAI(base_url=f"{serving.url}/v1", api_key="x", max_retries=0) as official:
        for tokens in ([1, 2], [[1], [2]]):
            with pytest.raises(BadRequestError, match="invalid input type"):
                official.embeddings.create(model="mean", input=tokens)


def test_models_that_speak_are_refused(client: httpx.Client) -> None:
    words = '"speaker" does not support embeddings'
    assert refusal(client, "/api/embed", model="speaker", input="x") == (400, words)
    assert refusal(client, "/api/embeddings", model="speaker", prompt="x") == (400, words)
    assert refusal(client, "/v1/embeddings", model="speaker", input="x") == (400, words)


def test_models_that_embed_do_not_speak(client: httpx.Client) -> None:
    words = '"mean" does not support generate'
    assert refusal(client, "/api/generate", model="mean", prompt="x") == (400, words)


def test_the_slot_of_a_client_that_left_is_free(engine: Engine, tmp_path: Path) -> None:
    """It had texts that keep the engine busy for longer than anybody waits here."""
    with gateway(tmp_path, engine=engine.server, num_parallel=1) as alone, alone.client() as client:
        create(client, "mean", MODELS["mean"], tmp_path)
        embed(client, "x")
        (child,) = alone.children()
        before = child.cpu_times().user
        body = {"model": "mean", "input": ["a" * 500] * 4000}
        with Caller(alone.url, "/api/embed", body):
            eventually(lambda: child.cpu_times().user > before + 0.5)
        assert embed(client, "ab")["prompt_eval_count"] == 3
        assert alone.children() == [child]
