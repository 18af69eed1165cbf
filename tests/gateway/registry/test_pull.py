"""Manifests: which can be pulled, and which blobs they name."""

import json
from typing import Any

import pytest

from gateway.errors import Broken
from gateway.registry.pull import blobs_of, read

PREFIX = "application/vnd.ollama.image."
DIGESTS = [f"sha256:{letter * 64}" for letter in "abc"]


def layer(kind: str, digest: str, size: int = 1) -> dict[str, Any]:
    return {"mediaType": PREFIX + kind, "digest": digest, "size": size}


def manifest(*layers: dict[str, Any], config: str = DIGESTS[2]) -> bytes:
    described = {"mediaType": "c", "digest": config, "size": 9}
    return json.dumps({"schemaVersion": 2, "config": described, "layers": layers}).encode()


def test_blobs_are_layers_in_order_then_the_config() -> None:
    first, second = layer("model", DIGESTS[1], 5), layer("template", DIGESTS[0])
    blobs = blobs_of(read(manifest(first, second, first), "ns/m"))
    assert [(one.digest, one.size) for one in blobs] == [
        (DIGESTS[1], 5),
        (DIGESTS[0], 1),
        (DIGESTS[2], 9),
    ]


def test_a_manifest_need_not_have_a_config() -> None:
    blobs = blobs_of(read(manifest(layer("model", DIGESTS[0]), config=""), "ns/m"))
    assert [one.digest for one in blobs] == [DIGESTS[0]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<html>", "pull model manifest: Expecting value: line 1 column 1 (char 0)"),
        (b"[]", "pull model manifest: a manifest must be a JSON object"),
        (manifest(layer("model", "")), "ns/m: digest is empty"),
        (manifest({"mediaType": PREFIX + "model", "size": 1}), "ns/m: digest is empty"),
        (b'{"manifests":[]}', "pull model manifest: ns/m is not a model"),
        (
            manifest({"mediaType": "application/vnd.docker.image", "digest": DIGESTS[0]}),
            "pull model manifest: ns/m is not a model",
        ),
        (
            manifest(layer("json", DIGESTS[1]), layer("tensor", DIGESTS[0])),
            "this model requires MLX support, but the MLX runtime is not available",
        ),
    ],
)
def test_what_cannot_be_pulled_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(Broken) as caught:
        read(data, "ns/m")
    assert caught.value.message == message


def test_a_digest_is_no_path() -> None:
    with pytest.raises(Broken, match=r"^pull model manifest: not a layer: "):
        read(manifest(layer("model", "sha256:../../../etc/passwd")), "ns/m")
