"""Embeddings in three forms: what reaches the engine, what is refused, and what is answered."""

import math
import struct
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
import pytest

from gateway.api.embeddings.routes import embed_texts
from gateway.errors import Invalid
from gateway.llama.errors import EngineError, from_refusal
from gateway.llama.requests import Call
from runners import Refused
from tests.fakes.engine import embeddings as fake_embeddings
from tests.fakes.server import Gateway, open_gateway

pytestmark = pytest.mark.anyio

POOLED = {"llama.pooling_type": 1}
PATHS = ("/api/embed", "/api/embeddings", "/v1/embeddings")
SPEAKS = '"speaker" does not support embeddings'


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with open_gateway() as gateway:
        yield gateway


async def post(gateway: Gateway, path: str, **body: Any) -> httpx.Response:
    """A request for one text's embedding, unless `body` says otherwise."""
    usual = {"model": "m", "input": "hi there", "prompt": "hi there"}
    return await gateway.client.post(path, json={**usual, **body})


def refusal(response: httpx.Response) -> tuple[int, str]:
    error = response.json()["error"]
    if isinstance(error, str):
        return response.status_code, error
    kinds = {400: "invalid_request_error", 404: "not_found_error"}
    kind = kinds.get(response.status_code, "api_error")
    assert error == {"message": error["message"], "type": kind, "param": None, "code": None}
    return response.status_code, error["message"]


def fake(text: str) -> Any:
    """The vector that the fake engine makes of a text."""
    return pytest.approx(fake_embeddings({"input": text}, "")["data"][0]["embedding"], rel=1e-6)


async def received(gateway: Gateway) -> list[Any]:
    """The bodies that the engine was sent."""
    seen = await gateway.engine()
    assert set(seen["paths"]) <= {"/v1/embeddings"}
    return list(seen["requests"])


# ---- answered


async def test_one_call_brings_all_vectors_in_order(gateway: Gateway) -> None:
    gateway.add(metadata=POOLED)
    response = await post(gateway, "/api/embed", input=["hi there", "you", "hi there"])
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    reply = response.json()
    assert reply["embeddings"] == [fake("hi there"), fake("you"), fake("hi there")]
    assert (reply["model"], reply["prompt_eval_count"]) == ("m", 5)
    assert reply["total_duration"] >= reply["load_duration"] > 0
    texts = ["hi there", "you", "hi there"]
    assert await received(gateway) == [{"input": texts, "encoding_format": "base64"}]


async def test_more_texts_than_fit_a_call_take_several(gateway: Gateway) -> None:
    gateway.add(metadata=POOLED)
    texts = [f"text {number}" for number in range(70)]
    reply = (await post(gateway, "/api/embed", input=texts)).json()
    assert reply["embeddings"] == [fake(text) for text in texts]
    assert reply["prompt_eval_count"] == 140
    assert [len(body["input"]) for body in await received(gateway)] == [64, 6]


async def test_openais_form(gateway: Gateway) -> None:
    gateway.add(metadata=POOLED)
    response = await post(gateway, "/v1/embeddings", input=["hi there", "you"])
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "object": "list",
        "data": [
            {"object": "embedding", "embedding": fake("hi there"), "index": 0},
            {"object": "embedding", "embedding": fake("you"), "index": 1},
        ],
        "model": "m",
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }


async def test_openais_base64(gateway: Gateway) -> None:
    gateway.add(metadata=POOLED)
    body = {"encoding_format": "base64", "dimensions": 4}
    (item,) = (await post(gateway, "/v1/embeddings", **body)).json()["data"]
    floats = struct.unpack("<4f", b64decode(item["embedding"]))
    assert math.hypot(*floats) == pytest.approx(1)


async def test_the_old_form(gateway: Gateway) -> None:
    gateway.add(metadata=POOLED)
    reply = (await post(gateway, "/api/embeddings", input="not this")).json()
    assert reply == {"embedding": fake("hi there")}


async def test_dimensions(gateway: Gateway) -> None:
    gateway.add(metadata=POOLED)
    (vector,) = (await post(gateway, "/api/embed", dimensions=3)).json()["embeddings"]
    assert len(vector) == 3
    assert math.hypot(*vector) == pytest.approx(1)


async def test_very_many_numbers_are_written_all_the_same(gateway: Gateway) -> None:
    gateway.add(metadata=POOLED)
    texts = [f"text {number}" for number in range(2100)]
    reply = (await post(gateway, "/api/embed", input=texts)).json()
    assert len(reply["embeddings"]) == 2100
    assert reply["embeddings"][-1] == fake("text 2099")


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/api/embed", {"input": ""}, {"model": "m", "embeddings": []}),
        ("/api/embed", {"input": []}, {"model": "m", "embeddings": []}),
        ("/api/embed", {"input": None}, {"model": "m", "embeddings": []}),
        ("/api/embeddings", {"prompt": ""}, {"embedding": []}),
    ],
)
async def test_without_input_the_model_is_only_loaded(
    gateway: Gateway, path: str, body: dict[str, Any], expected: dict[str, Any]
) -> None:
    gateway.add(metadata=POOLED)
    assert (await post(gateway, path, **body)).json() == expected
    assert await received(gateway) == []


@pytest.mark.parametrize("path", PATHS)
async def test_keep_alive_zero_lets_the_runner_go(gateway: Gateway, path: str) -> None:
    gateway.add(metadata=POOLED)
    assert (await post(gateway, path, keep_alive=0)).status_code == 200
    await gateway.until(lambda: not gateway.scheduler.snapshot().runners)


async def test_options_shape_the_runner_and_unknown_ones_are_ignored(gateway: Gateway) -> None:
    gateway.add(metadata=POOLED, parameters={"num_ctx": 256})
    options = {"num_batch": 64, "num_wings": 2}
    assert (await post(gateway, "/api/embed", options=options)).status_code == 200
    (runner,) = gateway.scheduler.snapshot().runners
    assert (runner.spec.context, runner.spec.batch, runner.spec.embedding) == (256, 64, True)


@pytest.mark.parametrize(
    ("metadata", "raw"),
    [
        ({}, False),
        ({"general.architecture": "bert", "tokenizer.ggml.model": "bert"}, False),
        ({"general.architecture": "bert", "tokenizer.ggml.model": "t5"}, True),
        (
            {
                "general.architecture": "bert",
                "tokenizer.ggml.model": "bert",
                "bert.normalize_embeddings": False,
            },
            True,
        ),
        ({"general.architecture": "nomic-bert"}, True),
        ({"general.architecture": "nomic-bert-moe"}, True),
        (
            {"general.architecture": "nomic-bert", "nomic-bert.normalize_embeddings": True},
            False,
        ),
    ],
)
async def test_the_old_form_gives_what_some_models_make_as_it_is(
    gateway: Gateway, metadata: dict[str, Any], raw: bool
) -> None:
    architecture = metadata.get("general.architecture", "llama")
    gateway.add(metadata={**metadata, f"{architecture}.pooling_type": 1})
    assert (await post(gateway, "/api/embeddings")).status_code == 200
    assert (await post(gateway, "/api/embed")).status_code == 200
    old, new = await received(gateway)
    assert old.get("embd_normalize") == (-1 if raw else None)
    assert "embd_normalize" not in new


# ---- refused


@pytest.mark.parametrize("name", ["", " "])
async def test_no_model_is_refused_in_ollamas_two_ways(gateway: Gateway, name: str) -> None:
    for path, answer in (
        ("/api/embed", (404, f"model '{name}' not found")),
        ("/api/embeddings", (400, "model is required")),
        ("/v1/embeddings", (400, "model is required")),
    ):
        assert refusal(await post(gateway, path, model=name)) == answer


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"model": "a b"}, 400, "invalid model name"),
        ({"model": "nope"}, 404, 'model "nope" not found, try pulling it first'),
        ({"model": "m:cloud"}, 403, "ollama cloud is disabled: remote model is unavailable"),
        ({"model": "speaker"}, 400, SPEAKS),
        ({"keep_alive": "1d"}, 400, 'time: unknown unit "d" in duration "1d"'),
    ],
)
async def test_all_refuse_what_cannot_be_had(
    gateway: Gateway, path: str, body: dict[str, Any], status: int, message: str
) -> None:
    gateway.add(metadata=POOLED)
    gateway.add("speaker")
    assert refusal(await post(gateway, path, **body)) == (status, message)


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/api/embed", {"input": [1]}, "invalid input type"),
        ("/api/embed", {"input": {}, "model": "nope"}, "invalid input type"),
        ("/api/embed", {"input": {}, "model": "a b"}, "invalid model name"),
        ("/api/embed", {"options": {"num_ctx": "x"}}, 'option "num_ctx" must be of type integer'),
        (
            "/api/embeddings",
            {"prompt": ["a"]},
            "json: cannot unmarshal array into Go struct field EmbeddingRequest.prompt of type "
            "string",
        ),
        ("/v1/embeddings", {"input": []}, "invalid input"),
        ("/v1/embeddings", {"input": [1, 2]}, "invalid input type"),
        ("/v1/embeddings", {"input": [[1], [2]]}, "invalid input type"),
        (
            "/v1/embeddings",
            {"encoding_format": "int8"},
            "Invalid value for 'encoding_format' = int8. Supported values: ['float', 'base64'].",
        ),
    ],
)
async def test_requests_that_are_wrong_are_refused(
    gateway: Gateway, path: str, body: dict[str, Any], message: str
) -> None:
    gateway.add(metadata=POOLED)
    assert refusal(await post(gateway, path, **body)) == (400, message)
    assert gateway.scheduler.snapshot().runners == ()


# ---- too long


def tokens(text: str) -> list[int]:
    return [*text.encode()]


@dataclass
class Narrow:
    """An engine with room for so many tokens, a byte each, between two of its own."""

    room: int
    refusal: Callable[[int, int], str] = lambda count, room: (
        f"input ({count} tokens) is too large to process. increase the "
        f"physical batch size (current batch size: {room})"
    )
    calls: list[tuple[str, Any]] = field(default_factory=list)

    async def __call__(self, call: Call) -> bytes:
        body = orjson.loads(call.body)
        if call.path == "/tokenize":
            self.calls.append((call.path, body["content"]))
            inner = tokens(body["content"])
            return orjson.dumps({"tokens": [1, *inner, 2] if "add_special" in body else inner})
        self.calls.append((call.path, body["input"]))
        inputs = [[1, *tokens(one), 2] if isinstance(one, str) else one for one in body["input"]]
        for one in inputs:
            if len(one) > self.room:
                raise from_refusal(Refused(self.refusal(len(one), self.room), 500, "server_error"))
        texts = [bytes(one[1:-1]).decode() for one in inputs]
        reply = fake_embeddings({"input": texts, "encoding_format": "base64"}, "")
        count = sum(map(len, inputs))
        return orjson.dumps({**reply, "usage": {"prompt_tokens": count, "total_tokens": count}})


async def embed(
    engine: Narrow, texts: Sequence[str], *, truncate: bool = True, context: int = 100
) -> tuple[list[Any], int]:
    """Vectors and tokens."""
    embeddings = await embed_texts(engine, texts, truncate=truncate, context=context)
    return [list(vector) for vector in embeddings.vectors], embeddings.tokens


async def test_what_fits_takes_one_call() -> None:
    engine = Narrow(10)
    assert await embed(engine, ["abc", "12345678"]) == ([fake("abc"), fake("12345678")], 15)
    assert engine.calls == [("/v1/embeddings", ["abc", "12345678"])]


async def test_what_does_not_fit_is_cut_and_only_that() -> None:
    engine = Narrow(10)
    assert await embed(engine, ["abc", "1234567890", "de"]) == (
        [fake("abc"), fake("12345678"), fake("de")],
        5 + 10 + 4,
    )
    assert engine.calls == [
        ("/v1/embeddings", ["abc", "1234567890", "de"]),
        ("/tokenize", "1234567890"),
        ("/tokenize", "1234567890"),
        ("/v1/embeddings", ["abc", [1, *b"12345678", 2], "de"]),
    ]


async def test_a_text_that_turns_out_to_fit_stays_a_text() -> None:
    engine = Narrow(10)
    assert (await embed(engine, ["1234567", "x" * 20]))[1] == 9 + 10
    assert engine.calls[-1] == ("/v1/embeddings", ["1234567", [1, *b"xxxxxxxx", 2]])


async def test_a_smaller_context_than_the_engines_bounds_what_is_cut() -> None:
    assert await embed(Narrow(10), ["1234567890"], context=6) == ([fake("1234")], 6)


async def test_what_must_not_be_cut_is_refused() -> None:
    with pytest.raises(Invalid) as error:
        await embed(Narrow(10), ["1234567890"], truncate=False)
    assert error.value.message == "the input length exceeds the context length"


async def test_what_cannot_be_cut_is_refused() -> None:
    with pytest.raises(Invalid) as error:
        await embed(Narrow(10), ["1234567890"], context=2)
    assert error.value.message == "input after truncation exceeds maximum context length"
    wrong = Narrow(8, lambda count, room: f"exceeds the available context size ({room + 9} tokens)")
    with pytest.raises(Invalid) as error:
        await embed(wrong, ["1234567890"])
    assert error.value.message == (
        "input exceeds maximum context length and cannot be truncated further"
    )


async def test_other_refusals_are_passed_on() -> None:
    with pytest.raises(EngineError) as error:
        await embed(Narrow(3, lambda count, room: "Input content cannot be empty"), ["1234"])
    assert (error.value.message, error.value.status) == ("Input content cannot be empty", 500)
