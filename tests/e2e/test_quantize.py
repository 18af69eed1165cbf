"""Weights are quantized and shards merged on create, by the program beside the real engine."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.store.gguf import read_header
from runners.build.scripted_model import write
from tests.fakes import gguf
from tests.fakes.scripts import upload

pytestmark = pytest.mark.engine

PIECES = ("One ", "two ", "three.")
LLAMA: Mapping[str, Any] = {
    **gguf.LLAMA,
    "llama.feed_forward_length": 64,
    "llama.attention.head_count": 2,
    "llama.attention.head_count_kv": 2,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
    "llama.rope.dimension_count": 32,
}
TENSORS = (
    ("token_embd.weight", "F16", (64, 3)),
    ("output_norm.weight", "F32", (64,)),
    ("output.weight", "F16", (64, 3)),
    ("blk.0.attn_norm.weight", "F32", (64,)),
    ("blk.0.ffn_norm.weight", "F32", (64,)),
    *((f"blk.0.attn_{part}.weight", "F16", (64, 64)) for part in ("q", "k", "v", "output")),
    *((f"blk.0.ffn_{part}.weight", "F16", (64, 64)) for part in ("gate", "up", "down")),
)


@pytest.fixture
def plain(client: httpx.Client, tmp_path: Path) -> str:
    """The digest of an uploaded F16 model, wide enough for K-quants."""
    return upload(
        client, write(tmp_path / "m.gguf", PIECES, dim=256, name="to quantize").read_bytes()
    )


@pytest.fixture
def blobs(client: httpx.Client, folder: Path, plain: str) -> Iterator[Path]:
    """The folder of blobs, in which nothing is left behind."""
    yield folder / "models" / "blobs"
    left = [path.name for path in (folder / "models" / "blobs").glob("*.new")]
    assert left == []


def make(client: httpx.Client, **body: Any) -> list[dict[str, Any]]:
    response = client.post("/api/create", json={"model": "made", **body})
    assert response.status_code == 200, response.text
    return [json.loads(line) for line in response.text.splitlines()]


def shard(path: Path, number: int) -> Path:
    split = {
        "split.no": gguf.As("u16", number),
        "split.count": gguf.As("u16", 2),
        "split.tensors.count": gguf.As("i32", len(TENSORS)),
    }
    if number == 0:
        return gguf.write(path, {**LLAMA, **split}, TENSORS[:5])
    return gguf.write(path, split, TENSORS[5:])


@pytest.mark.parametrize("kind", ["Q8_0", "q4_k_m"])
def test_a_quantized_model_says_the_same(
    client: httpx.Client, blobs: Path, plain: str, kind: str
) -> None:
    lines = make(client, files={"m.gguf": plain}, quantize=kind)
    size = (blobs / plain.replace(":", "-")).stat().st_size
    long = [line for line in lines if "total" in line]
    status = f"quantizing F16 model to {kind.upper()}"
    assert long[0] == {"status": status, "digest": "0" * 19, "total": size}
    assert long[-1] == {**long[0], "completed": size}
    assert [line["status"] for line in lines if line not in long][:2] == [
        "parsing GGUF",
        "verifying conversion",
    ]
    assert lines[-1] == {"status": "success"}
    shown = client.post("/api/show", json={"model": "made"}).json()
    assert shown["details"]["quantization_level"] == kind.upper()
    assert shown["details"]["parent_model"] == ""
    output = client.post(
        "/api/chat",
        json={"model": "made", "stream": False, "messages": [{"role": "user", "content": "x"}]},
    ).json()
    assert output["message"]["content"] == "".join(PIECES)


def test_a_stored_model_is_quantized_once(client: httpx.Client, blobs: Path, plain: str) -> None:
    client.post("/api/create", json={"model": "origin", "files": {"m.gguf": plain}})
    lines = make(client, **{"from": "origin", "quantize": "q8_0"})
    digest = next(line["status"] for line in lines if "layer sha256" in line["status"]).split()[-1]
    assert read_header(blobs / digest.replace(":", "-")).file_type == "Q8_0"
    refused = client.post(
        "/api/create", json={"model": "made", "from": "made", "quantize": "Q4_K_S"}
    )
    assert refused.status_code == 400
    reported = "quantization is only supported for F16, BF16 and F32 models"
    assert refused.json() == {"error": reported}


def test_an_unknown_type_is_refused(client: httpx.Client, blobs: Path, plain: str) -> None:
    refused = client.post(
        "/api/create", json={"model": "made", "files": {"m.gguf": plain}, "quantize": "q9_x"}
    )
    assert refused.status_code == 400
    assert refused.json()["error"].startswith("unsupported quantization type Q9_X - supported")


@pytest.mark.parametrize(("kind", "label"), [("", "F16"), ("q8_0", "Q8_0")])
def test_shards_become_one_file(
    client: httpx.Client, blobs: Path, tmp_path: Path, kind: str, label: str
) -> None:
    files = {
        f"m-{number + 1:05}-of-00002.gguf": upload(
            client, shard(tmp_path / f"{number}", number).read_bytes()
        )
        for number in range(2)
    }
    lines = make(client, files=files, quantize=kind)
    statuses = [line["status"] for line in lines if "total" not in line]
    assert statuses[:3] == ["parsing GGUF", "parsing GGUF", "verifying conversion"]
    digest = statuses[3].split()[-1]
    header = read_header(blobs / digest.replace(":", "-"))
    assert sorted(tensor.name for tensor in header.tensors) == sorted(one[0] for one in TENSORS)
    assert (header.file_type, header.get("general.name")) == (label, "tiny")
    assert [key for key in header.metadata if "split" in key] == []


def test_a_program_that_fails_is_quoted(client: httpx.Client, blobs: Path, tmp_path: Path) -> None:
    """A llama without what a llama needs."""
    digest = upload(client, gguf.write(tmp_path / "bad.gguf").read_bytes())
    lines = make(client, files={"m.gguf": digest}, quantize="q8_0")
    assert lines[0] == {"status": "parsing GGUF"}
    assert lines[-1]["error"].startswith("llama-quantize failed with 1: ")
    quiet = client.post(
        "/api/create",
        json={"model": "bad", "files": {"m.gguf": digest}, "quantize": "q8_0", "stream": False},
    )
    assert (quiet.status_code, quiet.json()) == (500, lines[-1])
    assert client.post("/api/show", json={"model": "bad"}).status_code == 404
