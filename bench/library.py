"""A large library, and a model with a large vocabulary: what the first look costs, and the next.

Nothing here runs a model, so the files are headers with holes behind them, and a blob's name is a
digest of something shorter than the blob.
"""

import hashlib
import http.client
import json
import os
import shutil
import struct
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from bench.figures import Row, plain
from bench.gateway import Gateway
from bench.lab import Lab
from bench.load import BenchError
from runners.build import scripted_model

NAMES = 5000
_SHARED = 2
"""Names to a file of weights."""
_TEMPLATES, _PARAMETERS = 20, 50
TOKENS = 150_000
_COLD, _WARM = 5, 30
_HOST = "registry.ollama.ai"
_LAYER = "application/vnd.ollama.image."
_MARK = "scripted model 00000"


def library(lab: Lab) -> list[Row]:
    """`/api/tags` of NAMES models and `/api/show` of one with TOKENS tokens, cold and warm."""
    root = lab.folder / "large"
    try:
        build(root, NAMES, TOKENS)
        return [*_tags(lab, root), *_show(lab, root)]
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _tags(lab: Lab, root: Path) -> list[Row]:
    starts: list[float] = []
    cold: list[float] = []
    warm: list[float] = []

    def list_models(gateway: Gateway) -> float:
        return _timed(gateway, "GET", "/api/tags", None, _listed)

    for _ in range(_COLD):
        # Sweeping at the start reads every manifest, which is half of what is to be measured.
        with _serving(lab, root, NOPRUNE=1) as gateway:
            cold.append(list_models(gateway))
            warm += (1e3 * list_models(gateway) for _ in range(_WARM))
    for _ in range(_COLD):
        with _serving(lab, root) as gateway:
            starts.append(gateway.seconds)
    return [
        _against(f"tags of {NAMES} models, cold", cold, "s", 1.5),
        _against(f"tags of {NAMES} models, warm", warm, "ms", 20.0),
        plain(f"start with {NAMES} models", starts, "s", note="unused blobs are looked for"),
    ]


def _show(lab: Lab, root: Path) -> list[Row]:
    cold: list[float] = []
    warm: list[float] = []
    verbose: list[float] = []
    body: dict[str, Any] = {"model": "vocabulary"}

    def show(gateway: Gateway) -> float:
        return 1e3 * _timed(gateway, "POST", "/api/show", body, _described)

    def show_verbose(gateway: Gateway) -> float:
        every = {**body, "verbose": True}
        return 1e3 * _timed(gateway, "POST", "/api/show", every, _described)

    for _ in range(_COLD):
        with _serving(lab, root, NOPRUNE=1) as gateway:
            # A first request costs what a first request costs, whatever it is for.
            gateway.call("GET", "/api/version")
            cold.append(show(gateway))
            warm += (show(gateway) for _ in range(_WARM))
            verbose.append(show_verbose(gateway))
    return [
        _against(f"show of {TOKENS} tokens, cold", cold, "ms", 50.0),
        plain(f"show of {TOKENS} tokens, warm", warm, "ms"),
        plain(f"show of {TOKENS} tokens, verbose", verbose, "ms"),
    ]


def _against(name: str, samples: list[float], unit: str, target: float) -> Row:
    note = f"{median(samples) / target:.2f} of the target"
    return plain(name, samples, unit, target=target, note=note)


def _serving(lab: Lab, root: Path, **settings: object) -> Gateway:
    return Gateway(lab.folder, root, lab.engine, **settings)


def _timed(
    gateway: Gateway,
    method: str,
    path: str,
    body: Mapping[str, Any] | None,
    sound: Callable[[bytes], bool],
) -> float:
    """Seconds from a request on a new connection to the last byte of its reply."""
    connection = http.client.HTTPConnection(gateway.address, timeout=60.0)
    try:
        connection.connect()
        began = time.perf_counter()
        connection.request(method, path, json.dumps(body) if body else None)
        data = connection.getresponse().read()
        seconds = time.perf_counter() - began
    finally:
        connection.close()
    if not sound(data):
        raise BenchError(f"{method} {path}: {data[:200]!r}")
    return seconds


def _listed(data: bytes) -> bool:
    return len(json.loads(data)["models"]) == NAMES + 1


def _described(data: bytes) -> bool:
    return len(json.loads(data)["model_info"]["tokenizer.ggml.tokens"] or [0] * TOKENS) == TOKENS


def build(root: Path, names: int, tokens: int) -> None:
    """So many manifests with shared weights, templates and parameters; and one big vocabulary."""
    blobs, manifests = root / "blobs", root / "manifests" / _HOST / "library"
    blobs.mkdir(parents=True)
    model = scripted_model.write(root / "model.gguf", scripted_model.DEMO, name=_MARK)
    head, size = _header(model), model.stat().st_size
    model.unlink()
    templates = [_blob(blobs, "template", _template(n).encode()) for n in range(_TEMPLATES)]
    parameters = [
        _blob(blobs, "params", b'{"num_ctx":%d,"stop":["a"]}' % n) for n in range(_PARAMETERS)
    ]
    weights: dict[str, Any] = {}
    for number in range(names):
        if number % _SHARED == 0:
            named = head.replace(_MARK.encode(), f"scripted model {number:05}".encode())
            weights = _hollow(blobs, named, size)
        layers = [weights, templates[number % _TEMPLATES], parameters[number % _PARAMETERS]]
        license = _blob(blobs, "license", b"License of model %d" % (number // 10))
        config = _blob(blobs, "config", json.dumps(_config(number // _SHARED)).encode())
        _manifest(
            manifests / f"model-{number // 5}" / f"tag{number % 5}", [*layers, license], config
        )
    data = _vocabulary(root / "vocabulary.gguf", tokens)
    digest = _put(blobs, data, hashlib.sha256(data).hexdigest())
    layer = {"mediaType": f"{_LAYER}model", "digest": digest, "size": len(data)}
    config = _blob(blobs, "config", json.dumps(_config(names)).encode())
    _manifest(manifests / "vocabulary" / "latest", [layer], config)


def _template(number: int) -> str:
    return (
        "{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ end }}"
        "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
        "<|im_start|>assistant\n"
        f"{{{{/* {number} */}}}}"
    )


def _config(number: int) -> dict[str, Any]:
    return {
        "model_format": "gguf",
        "model_family": "llama",
        "model_families": ["llama"],
        "model_type": f"{number}M",
        "file_type": "F16",
        "architecture": "amd64",
        "os": "linux",
    }


def _vocabulary(path: Path, size: int) -> bytes:
    """A header with so many tokens, scores, types and merges, and no tensors."""
    tokens = [f"token {number}" for number in range(size)]
    metadata: dict[str, scripted_model.GGUFValue] = {
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [-float(number) for number in range(size)],
        "tokenizer.ggml.token_type": [1] * size,
        "tokenizer.ggml.merges": [f"{number} {number + 1}" for number in range(size)],
    }
    data = _header(scripted_model.write(path, scripted_model.DEMO, metadata=metadata))
    path.unlink()
    return b"GGUF" + struct.pack("<IQ", 3, 0) + data[16:]


def _header(path: Path) -> bytes:
    """All of a scripted model's file before its first tensor's data."""
    data = path.read_bytes()
    return data[: data.index(b"\0" * 4096)]


def _hollow(blobs: Path, head: bytes, size: int) -> dict[str, Any]:
    """The layer of a blob that begins with `head` and is a hole of `size` bytes in all."""
    digest = _put(blobs, head, hashlib.sha256(head).hexdigest())
    os.truncate(blobs / digest.replace(":", "-"), size)
    return {"mediaType": f"{_LAYER}model", "digest": digest, "size": size}


def _blob(blobs: Path, kind: str, data: bytes) -> dict[str, Any]:
    digest = _put(blobs, data, hashlib.sha256(data).hexdigest())
    return {"mediaType": f"{_LAYER}{kind}", "digest": digest, "size": len(data)}


def _put(blobs: Path, data: bytes, digest: str) -> str:
    path = blobs / f"sha256-{digest}"
    if not path.exists():
        path.write_bytes(data)
    return f"sha256:{digest}"


def _manifest(path: Path, layers: list[dict[str, Any]], config: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"schemaVersion": 2, "mediaType": "", "config": config, "layers": layers}
    path.write_text(json.dumps(document))
