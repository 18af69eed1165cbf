"""The golden vectors and the GGUF file of test_sentences.py, against the tools they stand for.

These need torch, so they run apart: `make test-models`.
"""

import os
import subprocess
from pathlib import Path

import pytest

from runners import Engine
from tests.fakes.process import ROOT
from tests.fakes.sentence_model import GOLDEN, WEIGHTS, cosine, embed, read_golden, serve

# Importing torch from a cold disk alone may take a minute.
pytestmark = [pytest.mark.models, pytest.mark.timeout(600)]

PYTHON = ROOT / ".venv" / "models" / "bin" / "python"
CLOSE = 0.999


def run(*command: str, stdin: str = "") -> str:
    """The output of the Python that has torch."""
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [str(PYTHON), *command],
        cwd=ROOT,
        input=stdin,
        env=environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_golden_vectors_are_what_the_library_computes() -> None:
    golden = GOLDEN.read_text()
    computed = read_golden(run("tests/golden/sentences.py", stdin=golden))
    expected = read_golden(golden)
    assert computed.tokens == expected.tokens
    for text, vector, other in zip(
        expected.sentences, computed.vectors, expected.vectors, strict=True
    ):
        # Another processor adds in another order.
        assert vector == pytest.approx(other, abs=1e-4), text


@pytest.mark.engine
def test_the_pinned_converter_makes_a_model_with_the_same_vectors(
    engine: Engine, tmp_path: Path
) -> None:
    converter = ROOT / "vendor" / "llama.cpp" / "convert_hf_to_gguf.py"
    weights = tmp_path / "sentences.gguf"
    run(str(converter), str(WEIGHTS), "--outfile", str(weights), "--outtype", "f16")
    expected = read_golden(GOLDEN.read_text())
    with serve(tmp_path, engine.server, weights) as running, running.client() as client:
        embedded = embed(client, expected.sentences)
    assert embedded.tokens == sum(expected.tokens)
    for text, vector, other in zip(
        expected.sentences, embedded.vectors, expected.vectors, strict=True
    ):
        assert cosine(vector, other) >= CLOSE, text
