"""What the engine prints about memory, and that it is run once."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from runners.engine import Engine
from runners.estimate import EngineEstimator, parse
from runners.memory import bound, host
from runners.spec import MIB, Estimate, Spec

pytestmark = pytest.mark.anyio

SPEC = Spec(weights=Path("/m.gguf"), digest="sha256:aa", size=200 * MIB, context=512, parallel=4)


def fit_engine(folder: Path, script: str) -> Engine:
    """An engine whose llama-fit-params is `script`, counting its calls in `folder`/calls."""
    fit = folder / "llama-fit-params"
    fit.write_text(f"#!/bin/sh\necho x >> {folder}/calls\n{script}\n")
    fit.chmod(0o755)
    return Engine(folder / "llama-server", fit, "v", "cpu", identity="one")


def calls(folder: Path) -> int:
    return len((folder / "calls").read_text().split()) if (folder / "calls").exists() else 0


def test_host_rows_alone_are_host_memory() -> None:
    estimate = parse("Host 216 128 25 \n", SPEC)
    assert estimate == Estimate(gpu=0, host=(217 + 129 + 26) * MIB + host(SPEC), exact=True)


def test_device_rows_are_gpu_memory() -> None:
    estimate = parse("CUDA0 150 100 20 \nCUDA1 60 28 5 \nHost 1 2 3 \n", SPEC)
    assert estimate is not None
    assert estimate.gpu == (151 + 101 + 21 + 61 + 29 + 6) * MIB
    assert estimate.host == (2 + 3 + 4) * MIB + host(SPEC)


def test_weights_that_no_row_holds_were_repacked_into_host_memory() -> None:
    estimate = parse("Host 5 128 25 \n", SPEC)
    assert estimate is not None
    assert estimate.host == (6 + 129 + 26) * MIB + (200 - 6) * MIB + host(SPEC)


def test_a_projector_and_adapters_come_on_top_where_the_weights_are() -> None:
    plain = Spec(weights=Path("/m"), digest="sha256:aa", size=0)
    spec = replace(plain, media=10 * MIB, adapters_size=3 * MIB)
    for printed, part in (("Host 1 1 1", "host"), ("CUDA0 1 1 1\nHost 1 1 1", "gpu")):
        more, less = parse(printed, spec), parse(printed, plain)
        assert more is not None
        assert less is not None
        assert getattr(more, part) - getattr(less, part) == 23 * MIB


@pytest.mark.parametrize(
    "printed", ["", "error: no\n", "CUDA0 1 2 3\n", "Host 1 2\n", "Host a b c"]
)
def test_anything_else_is_no_estimate(printed: str) -> None:
    assert parse(printed, SPEC) is None


async def test_the_engine_is_run_once(tmp_path: Path) -> None:
    estimator = EngineEstimator(fit_engine(tmp_path, "echo Host 216 128 25"))
    assert estimator.known(SPEC) is None
    first = await estimator(SPEC)
    assert first.exact
    assert await estimator(SPEC) == first == estimator.known(SPEC)
    assert calls(tmp_path) == 1


async def test_an_estimate_outlives_the_process_but_not_the_engine(tmp_path: Path) -> None:
    engine, cache = (
        fit_engine(tmp_path, "echo Host 216 128 25"),
        tmp_path / "kept" / "measured.json",
    )
    first = await EngineEstimator(engine, cache)(SPEC)
    assert EngineEstimator(engine, cache).known(SPEC) == first
    other = Engine(engine.server, engine.fit, "v", "cpu", identity="two")
    assert EngineEstimator(other, cache).known(SPEC) is None
    assert len(json.loads(cache.read_text())) == 1


@pytest.mark.parametrize("content", ["{not json", "[]", '{"key": 3}', '{"key": [1]}', "null"])
async def test_a_damaged_cache_is_made_anew(tmp_path: Path, content: str) -> None:
    cache = tmp_path / "measured.json"
    cache.write_text(content)
    estimator = EngineEstimator(fit_engine(tmp_path, "echo Host 216 128 25"), cache)
    assert (await estimator(SPEC)).exact
    assert json.loads(cache.read_text())


async def test_what_shapes_a_runner_shapes_the_key(tmp_path: Path) -> None:
    estimator = EngineEstimator(fit_engine(tmp_path, "echo Host 216 128 25"))
    await estimator(SPEC)
    longer = Spec(
        weights=SPEC.weights, digest=SPEC.digest, size=SPEC.size, context=1024, parallel=4
    )
    elsewhere = Spec(
        weights=Path("/copy.gguf"), digest=SPEC.digest, size=SPEC.size, context=512, parallel=4
    )
    assert estimator.known(longer) is None
    assert estimator.known(elsewhere) is not None
    assert estimator.known(replace(SPEC, media=MIB)) is None
    assert estimator.known(replace(SPEC, adapters_size=MIB)) is None
    assert estimator.known(replace(SPEC, prompt_cache=1)) is None


async def test_without_an_estimate_the_bound_is_taken(tmp_path: Path) -> None:
    assert await EngineEstimator(fit_engine(tmp_path, "exit 1"))(SPEC) == bound(SPEC)
    silent = Engine(tmp_path / "llama-server", None, "v", "cpu", "one")
    assert await EngineEstimator(silent)(SPEC) == bound(SPEC)
