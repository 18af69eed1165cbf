"""A real model of sentences: its vectors are those that its own library computes.

The library's vectors are golden: they were computed once, by tests/golden/sentences.py, and
test_sentence_models.py checks that they still are what it computes.
"""

import math
from collections.abc import Iterator

import httpx
import pytest

from runners import Engine
from tests.fakes import sentence_model
from tests.fakes.process import Gateway
from tests.fakes.sentence_model import CONTEXT, GOLDEN, WEIGHTS, WIDTH, cosine, embed, read_golden

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(
        not WEIGHTS.is_dir(), reason="the model is not installed: make .venv/weights/.installed"
    ),
]

EXPECTED = read_golden(GOLDEN.read_text())
SENTENCES = EXPECTED.sentences
PAIRS = ((0, 1), (2, 3), (4, 5))
CLOSE = 0.999


@pytest.fixture(scope="module")
def serving(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("sentences")
    weights = sentence_model.write(folder / "sentences.gguf")
    with sentence_model.serve(folder, engine.server, weights) as running:
        yield running


@pytest.fixture
def client(serving: Gateway) -> Iterator[httpx.Client]:
    with serving.client() as client:
        yield client


def test_vectors_are_those_of_the_models_own_library(client: httpx.Client) -> None:
    vectors = embed(client, SENTENCES).vectors
    assert [len(vector) for vector in vectors] == [WIDTH] * len(SENTENCES)
    for text, vector, expected in zip(SENTENCES, vectors, EXPECTED.vectors, strict=True):
        assert cosine(vector, expected) >= CLOSE, text


def test_a_sentence_alone_is_what_it_is_among_others(client: httpx.Client) -> None:
    together = embed(client, SENTENCES).vectors
    for text, vector in zip(SENTENCES[:6], together[:6], strict=True):
        (alone,) = embed(client, text).vectors
        assert cosine(alone, vector) > 0.9999


def test_sentences_that_mean_the_same_are_nearest(client: httpx.Client) -> None:
    vectors = embed(client, SENTENCES[:6]).vectors
    for one, other in PAIRS:
        others = [at for at in range(6) if at != one]
        assert max(others, key=lambda at: cosine(vectors[one], vectors[at])) == other


def test_tokens_are_counted_as_the_models_own_library_does(client: httpx.Client) -> None:
    assert embed(client, SENTENCES).tokens == sum(EXPECTED.tokens)
    for text, count in zip(SENTENCES, EXPECTED.tokens, strict=True):
        reply = client.post("/v1/embeddings", json={"model": "sentences", "input": [text]})
        assert reply.json()["usage"]["prompt_tokens"] == count


def test_a_text_beyond_the_context_is_cut_to_it(client: httpx.Client) -> None:
    long = embed(client, "word " * 600)
    short = embed(client, "word " * (CONTEXT - 2), truncate=False)
    assert long.tokens == short.tokens == CONTEXT
    assert cosine(long.vectors[0], short.vectors[0]) > 0.9999


def test_a_cut_vector_keeps_its_direction(client: httpx.Client) -> None:
    (vector,) = embed(client, SENTENCES[0], dimensions=64).vectors
    assert math.hypot(*vector) == pytest.approx(1, abs=1e-6)
    assert cosine(vector, EXPECTED.vectors[0][:64]) > CLOSE
