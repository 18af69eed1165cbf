"""Whatever strangers wrote into a model's files: it is told, and other models are served."""

import json
import logging
import struct
from collections.abc import AsyncIterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.api.ollama.show import show_body, tag_entry
from gateway.errors import Invalid
from gateway.golang import json_encode as wire
from gateway.store.gguf import read_arrays, read_header
from gateway.store.library import Library
from tests.fakes import gguf as files
from tests.fakes import odd
from tests.fakes.server import ABLE, Gateway, open_gateway
from tests.fakes.store import Store

pytestmark = pytest.mark.anyio

SAY = [{"role": "user", "content": "hi"}]
NAME = "registry.ollama.ai/library/z/latest"
LONG = b"9" * 400
LAYERS = {
    **{text: text.encode() for text in ("", "null", "[]", "0", '"x"', "{}", "[1]", "[null]", "{{")},
    "deep": b"[" * 100_000,
    "rather deep": b'{"a":' * 300 + b"1" + b"}" * 300,
    "no text": b"\xff\xfe\x00",
    "surrogates": b'{"a":"\\ud800","stop":["\\ud800"]}',
    "a surrogate said": b'[{"role":"user","content":"\\ud800"}]',
    "wrong kinds": b'[{"role":1,"content":{}}]',
    "absurd numbers": b'{"num_ctx":1e400,"temperature":NaN,"top_k":' + LONG + b"}",
    "other kinds": b'{"num_ctx":"x","stop":[1],"seed":[],"temperature":{}}',
    "absurd lengths": b'{"context_length":1' + LONG + b',"embedding_length":true}',
    "a config of other kinds": b'{"model_format":1,"model_families":[1],"draft":{"a":1'
    + LONG
    + b"}}",
    "unfinished": b'{"a":',
    "template": b"{{ range }}{{ .Nope.Nope }}{% for %}",
}
COUNTS = [0, 1, 8, 9, 255, 1 << 31, (1 << 32) - 1, 1 << 40, 1 << 62, (1 << 63) - 1, (1 << 64) - 1]
EDITS = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.integers(0, 20),
        st.sampled_from([struct.pack("<Q", count) for count in COUNTS])
        | st.sampled_from([struct.pack("<I", count & 0xFFFFFFFF) for count in COUNTS])
        | st.binary(max_size=9),
    ),
    min_size=1,
    max_size=4,
)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One loop for all tests, as they share a gateway."""
    return "asyncio"


@pytest.fixture(scope="module")
async def gateway() -> AsyncIterator[Gateway]:
    logger = logging.getLogger("gateway")
    logger.setLevel(logging.ERROR)
    async with open_gateway() as gateway:
        yield gateway
    logger.setLevel(logging.NOTSET)


@pytest.fixture
async def store(gateway: Gateway, tmp_path: Path) -> AsyncIterator[Store]:
    """The gateway's own models folder, a model in it, and a way to put more there."""
    gateway.add("m", template=ABLE)
    store = Store(tmp_path / "other")
    store.root = gateway.services.library.root
    store.weights = gateway.services.library.get(gateway.add("m").name).weights_digest
    yield store
    store.manifest_path(NAME).unlink(missing_ok=True)


async def look(gateway: Gateway) -> None:
    """Ask everything about `z`: it is described, or it is said to be damaged or not there."""
    requested: list[tuple[str, str, Any]] = [
        ("GET", "/api/tags", None),
        ("GET", "/v1/models", None),
        ("POST", "/api/show", {"model": "z", "verbose": True}),
        ("POST", "/api/chat", {"model": "z", "messages": SAY}),
        ("POST", "/api/generate", {"model": "z", "prompt": "hi"}),
        ("POST", "/api/create", {"model": "y", "from": "z", "system": "s"}),
        ("POST", "/api/copy", {"source": "z", "destination": "y"}),
        ("DELETE", "/api/delete", {"model": "y"}),
    ]
    for method, path, body in requested:
        with anyio.fail_after(15):
            reply = await gateway.client.request(method, path, json=body)
        reported = f"{path}: {reply.status_code} {reply.text[:300]}"
        if reply.status_code >= 500:
            assert path not in ("/api/tags", "/v1/models", "/api/delete"), reported
            assert "is damaged: " in reply.text or "cannot be read: " in reply.text, reported
        assert path == "/api/show" or str(gateway.folder) not in reply.text, reported
        if path == "/api/tags":
            assert "m:latest" in [model["name"] for model in reply.json()["models"]]


@pytest.mark.parametrize("data", LAYERS.values(), ids=LAYERS)
async def test_any_layer_may_hold_anything(gateway: Gateway, store: Store, data: bytes) -> None:
    digest = store.blob(data)
    for kind in ("params", "messages", "template", "system", "projector"):
        store.put(NAME, store.layer(kind, digest))
        await look(gateway)


@pytest.mark.parametrize("data", LAYERS.values(), ids=LAYERS)
async def test_a_config_may_hold_anything(gateway: Gateway, store: Store, data: bytes) -> None:
    path = store.put(NAME)
    manifest = json.loads(path.read_text())
    manifest["config"]["digest"] = store.blob(data)
    path.write_text(json.dumps(manifest))
    await look(gateway)


@pytest.mark.parametrize("data", LAYERS.values(), ids=LAYERS)
async def test_a_manifest_may_hold_anything(gateway: Gateway, store: Store, data: bytes) -> None:
    store.put(NAME).write_bytes(data)
    await look(gateway)


async def test_a_manifest_may_be_wrong_anywhere(gateway: Gateway, store: Store) -> None:
    path = store.put(NAME, store.text("license", "free"))
    right = json.loads(path.read_text())
    wrong = cycle([*odd.WRONG, LONG.decode(), "NaN", "-9223372036854775808"])
    for where in odd.places(right, ()):
        for text in islice(wrong, 4):
            path.write_bytes(odd.spelled(odd.replaced(right, where, odd.MARK), text))
            await look(gateway)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A folder without a gateway."""
    return Store(tmp_path_factory.mktemp("fuzz") / "models")


@settings(max_examples=200, deadline=None)
@given(edits=EDITS)
def test_weights_may_begin_with_anything(
    edits: list[tuple[float, int, bytes]], plain: Store
) -> None:
    extra = {"x.f": files.As("f32", [1.0, 2.0]), "x.q": files.As("u64", (1 << 64) - 1)}
    path = files.write(plain.root / "new.gguf", {**files.LLAMA, **extra})
    data = path.read_bytes()
    path.unlink()
    for place, cut, insert in edits:
        at = int(place * len(data))
        data = data[:at] + insert + data[at + cut :]
    plain.weights = plain.blob(data)
    plain.put(NAME)
    library = Library(plain.root)
    (entry,) = library.entries()
    model = library.get(entry.name)
    assert (model.header is None) == (not _sound(model.weights))
    arrays = read_arrays(model.weights) if model.header else None
    assert wire.dumps(wire.with_go_floats(show_body(model, arrays=arrays)))
    assert wire.dumps(tag_entry(entry))
    plain.blob_path(plain.weights).unlink()


def _sound(path: Path) -> bool:
    try:
        read_header(path)
    except Invalid:
        return False
    return True
