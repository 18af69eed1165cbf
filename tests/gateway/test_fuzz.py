"""Whatever a client sends, it gets a plain answer soon, and nothing of it stays behind."""

import itertools
import json
import re
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import names
from gateway.api.transcription.requests import FIELDS
from tests.fakes import odd, odd_forms
from tests.fakes.odd import DIGEST, POSTED, TRESPASS
from tests.fakes.server import ABLE, Gateway, open_gateway

pytestmark = pytest.mark.anyio

PATIENCE = 15.0
BLOB = re.compile(r"sha256-[0-9a-f]{64}")
DRAWN = settings(max_examples=120, deadline=None)
BODIES = [(method, path) for method, path in POSTED if "{" not in path]
PATHS = st.sampled_from(BODIES)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(odd.words())
    | st.text(st.characters(), max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(odd.words()) | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=12,
)
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 9), st.binary(max_size=6)), min_size=1, max_size=4
)
HUGE = {
    "arrays": b"[" * 100_000,
    "closed arrays": b"[" * 100_000 + b"]" * 100_000,
    "objects": b'{"messages":' * 100_000,
    "arrays inside": b'{"model":"m","messages":[{"content":' + b"[" * 9000 + b"]" * 9000 + b"}]}",
    "tools inside": b'{"model":"m","tools":' + b'[{"function":' * 900 + b"1" + b"}]" * 900 + b"}",
    "a number": b'{"model":"m","seed":' + b"9" * 1_000_000 + b"}",
    "a fraction": b'{"model":"m","temperature":0.' + b"1" * 1_000_000 + b"}",
    "blanks": b" " * 10_000_000,
    "a name": b'{"model":"' + b"x" * 10_000_000 + b'"}',
    "surrogates": b'{"model":"' + b"\\ud800" * 200_000 + b'"}',
    "broken UTF-8": b'{"model":"m","prompt":1,"input":1,"messages":"' + b"\xff" * 1_000_000 + b'"}',
    "members": b"{" + b",".join(b'"%d":1' % number for number in range(50_000)) + b"}",
    "items": b'{"model":"m","context":[' + b"{}," * 100_000 + b"0]}",
    "zero bytes": bytes(1_000_000),
}
BAD_NAMES = [
    *(f"../{TRESPASS}", f"../../../{TRESPASS}", f"/{TRESPASS}", f"a/../{TRESPASS}"),
    *(f"a/b/../../{TRESPASS}:latest", f"{TRESPASS}/../../x", f"a:../{TRESPASS}", f"..:{TRESPASS}"),
    *(
        f"%2e%2e%2f{TRESPASS}",
        f"..\\{TRESPASS}",
        f"{TRESPASS}\0",
        f"\0{TRESPASS}",
        f"{TRESPASS}\n/",
    ),
    *(f"{TRESPASS}/", f"//{TRESPASS}", f":{TRESPASS}", f"@{TRESPASS}", f"-{TRESPASS}", "..", "."),
    *(f"~/{TRESPASS}", f"é{TRESPASS}", TRESPASS * 100, f"\ud800{TRESPASS}", f"\u202e{TRESPASS}"),
    *(
        f"http://../../{TRESPASS}",
        f"file:///{TRESPASS}",
        f"C:\\{TRESPASS}",
        f"{TRESPASS}:{'x' * 81}",
    ),
]
BAD_DIGESTS = [
    *(
        f"sha256:{TRESPASS}",
        f"sha256:../{TRESPASS}",
        f"../{TRESPASS}",
        f"sha256-{'0' * 63}",
        "sha256",
    ),
    *(
        f"sha256:{'0' * 65}",
        f"sha256:{'g' * 64}",
        f"sha512:{'0' * 64}",
        f"{'0' * 64}",
        f"{DIGEST}/..",
    ),
    *(f"{DIGEST}\n", f"{DIGEST}\0", f"sha256:{'٠' * 64}", f"sha256:{'0' * 60}/../"),
]
HEADERS: list[tuple[str, bytes]] = [
    (name, value)
    for name in ("Host", "Origin", "Content-Type", "User-Agent", "Range", "Accept", "Cookie")
    for value in (b"", b"\xff\xfe", b"[::", b"a" * 9000, b"http://[", b"null", b"\xd9\xa0.1", b":0")
]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One loop for all tests, as they share a gateway."""
    return "asyncio"


@pytest.fixture(scope="module")
async def gateway() -> AsyncIterator[Gateway]:
    async with open_gateway() as gateway:
        yield gateway


@pytest.fixture(autouse=True)
async def watched(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    """A model to ask for; and afterwards nothing where nothing may be."""
    gateway.add("m", template=ABLE)
    for name, pooling in (("e", 1), ("r", 4)):
        gateway.add(name, metadata={"llama.pooling_type": pooling})
    gateway.add(odd_forms.MODEL, metadata={"llama.audio.block_count": 1})
    before = beside(gateway)
    yield
    assert [record.msg for record in caplog.records if record.exc_info] == []
    assert (gateway.leases(), gateway.waiting()) == (0, 0)
    assert beside(gateway) == before
    library = gateway.services.library
    assert [
        path.name for path in library.blobs.folder.iterdir() if not BLOB.fullmatch(path.name)
    ] == []
    result = [path for path in library.manifests.folder.rglob("*") if not path.is_dir()]
    for path in result:
        parts = path.relative_to(library.manifests.folder).parts
        assert len(parts) == 4
        assert names.from_parts(*parts) is not None


def beside(gateway: Gateway) -> set[str]:
    """All that lies around the store, what engines leave while they live left out."""
    library = gateway.services.library
    around = {str(path) for place in ("/", "/etc", "/tmp", ".") for path in Path(place).iterdir()}
    ours = {
        str(path)
        for path in gateway.folder.rglob("*")
        if path.suffix not in (".sock", ".pid") and library.root not in path.parents
    }
    return {*ours, *(str(path) for path in library.root.iterdir())} | {
        path for path in around if TRESPASS in path
    }


async def ask(gateway: Gateway, method: str, path: str, **more: Any) -> httpx.Response:
    """The answer to anything at all: soon, of the client's making, and telling nothing of ours."""
    url = httpx.URL(scheme="http", host="localhost", raw_path=path.encode())
    request = gateway.client.build_request(method, url, **more)
    with anyio.fail_after(PATIENCE):
        reply = await gateway.client.send(request)
    reported = f"{method} {path} {str(more)[:500]}: {reply.status_code} {reply.text[:300]}"
    assert reply.status_code < 500, reported
    assert "Traceback" not in reply.text, reported
    # Only a Modelfile names files, as Ollama's does.
    assert path == "/api/show" or str(gateway.folder) not in reply.text, reported
    return reply


@pytest.mark.parametrize(("method", "path"), BODIES)
async def test_a_wrong_value_anywhere_is_the_clients_mistake(
    gateway: Gateway, method: str, path: str
) -> None:
    model = gateway.services.library.get(names.parse("m"))
    statuses = set[int]()
    for body in odd.spoilt(path):
        content = body.replace(DIGEST.encode(), model.weights_digest.encode())
        statuses.add((await ask(gateway, method, path, content=content)).status_code)
    assert 400 in statuses


@pytest.mark.parametrize("path", ["/api/pull", "/api/push"])
async def test_nobody_is_called_for_a_request_that_is_wrong(gateway: Gateway, path: str) -> None:
    """These two go to whatever host a name spells, so no name here is one."""
    members = {"model": "a b", "name": "a b", "insecure": True, "stream": True, "username": "u"}
    wrong: list[Any] = [1, 1.5, True, "\ud800", [], {}, [[1]], {"a": 1}, None]
    bodies = [
        json.dumps({**members, key: value}).encode()
        for key, value in itertools.product(members, wrong)
    ]
    whole = bodies[-1]
    bodies += [whole[:end] for end in range(len(whole))]
    bodies += [json.dumps({"model": name}).encode() for name in BAD_NAMES]
    for body in bodies:
        assert (await ask(gateway, "POST", path, content=body)).status_code == 400, body


@pytest.mark.parametrize("body", HUGE.values(), ids=HUGE)
async def test_a_huge_body_is_refused(gateway: Gateway, body: bytes) -> None:
    for method, path in BODIES:
        assert (await ask(gateway, method, path, content=body)).status_code in (200, 400, 404)


@DRAWN
@given(requested=PATHS, edits=EDITS, all_members=st.booleans())
async def test_broken_json_is_never_a_fault_of_ours(
    gateway: Gateway,
    requested: tuple[str, str],
    edits: list[tuple[float, int, bytes]],
    all_members: bool,
) -> None:
    method, path = requested
    data = json.dumps(odd.full(path) if all_members else odd.least(path)).encode()
    await ask(gateway, method, path, content=edited(data, edits))


def edited(data: bytes, edits: Iterable[tuple[float, int, bytes]]) -> bytes:
    """At each place, a part of the whole, so many bytes are cut out and others put in."""
    for place, cut, insert in edits:
        at = int(place * len(data))
        data = data[:at] + insert + data[at + cut :]
    return data


@DRAWN
@given(requested=PATHS, members=st.dictionaries(st.sampled_from(odd.words()), JSON, max_size=6))
async def test_any_members_are_taken_or_refused(
    gateway: Gateway, requested: tuple[str, str], members: dict[str, Any]
) -> None:
    method, path = requested
    body = json.dumps({**odd.least(path), **members})
    await ask(gateway, method, path, content=body)


@pytest.mark.parametrize(("method", "path"), BODIES)
async def test_a_name_that_is_none_is_refused_wherever_it_stands(
    gateway: Gateway, method: str, path: str
) -> None:
    least = odd.least(path)
    members = [key for key in ("model", "source", "destination", "from") if key in odd.full(path)]
    for key, name in itertools.product(members, BAD_NAMES):
        if "model" in members and "source" in members and key == "model":
            continue  # not what copies go by
        reply = await ask(gateway, method, path, content=json.dumps({**least, key: name}))
        assert reply.status_code in (400, 403, 404), (key, name, reply.text)


@pytest.mark.parametrize("digest", BAD_DIGESTS)
async def test_a_digest_that_is_none_is_refused_wherever_it_stands(
    gateway: Gateway, digest: str
) -> None:
    for member in ("files", "adapters"):
        body = {"model": "new", "files": {"a.gguf": DIGEST}, member: {"m.gguf": digest}}
        reply = await ask(gateway, "POST", "/api/create", content=json.dumps(body))
        assert reply.status_code in (400, 404)
    for method in ("HEAD", "POST"):
        reply = await ask(gateway, method, f"/api/blobs/{quote(digest)}", content=b"x")
        assert reply.status_code in (301, 307, 400, 404)


@pytest.mark.parametrize("name", [*BAD_NAMES, "%2e%2e/" * 9 + TRESPASS, "%ff%fe", "%", "%00"])
async def test_a_path_that_leads_nowhere_is_not_followed(gateway: Gateway, name: str) -> None:
    plain = name.encode(errors="replace").decode()
    encoded = "".join(f"%{byte:02x}" for byte in plain.encode())
    # Dots alone are taken off by the client.
    spelled_out = name.isascii() and name.isprintable() and name.strip(".")
    texts = [encoded, *([name] if spelled_out else ())]
    for (method, path), text in itertools.product(odd.ENDPOINTS, texts):
        if "{" in path:
            spelled = path[: path.index("{")] + text + path[path.index("}") + 1 :]
            reply = await ask(gateway, method, spelled, content=b"x")
            assert reply.status_code in (301, 307, 400, 404, 405), (spelled, reply.text)


@pytest.mark.parametrize(("number", "header"), list(enumerate(HEADERS)))
async def test_no_header_is_a_fault_of_ours(
    gateway: Gateway, number: int, header: tuple[str, bytes]
) -> None:
    name, value = header
    # What looks at headers stands around all routes: each header is tried on some.
    for method, path in odd.ENDPOINTS[number % 7 :: 7]:
        content = json.dumps(odd.least(path)) if (method, path) in BODIES else None
        headers = [(name.encode(), value)]
        if path != "/api/delete":
            await ask(gateway, method, odd.filled(path), headers=headers, content=content)


async def test_a_blob_of_other_bytes_than_its_digest_says_leaves_nothing(gateway: Gateway) -> None:
    for body in (b"", b"x", bytes(3_000_000)):
        reply = await ask(gateway, "POST", f"/api/blobs/{DIGEST}", content=body)
        assert reply.status_code == 400
    assert not gateway.services.library.blobs.exists(DIGEST)


async def transcribed(gateway: Gateway, body: bytes, kind: str = odd_forms.TYPE) -> str:
    """The message with which a form is refused, in OpenAI's form; empty if it is not."""
    headers = [(b"content-type", kind.encode("latin-1"))]
    path = "/v1/audio/transcriptions"
    reply = await ask(gateway, "POST", path, content=body, headers=headers)
    if reply.status_code == 200:
        assert "Hello" in reply.text
        return ""
    assert reply.status_code in (400, 404)
    error = reply.json()["error"]
    message = error.pop("message")
    kinds = {400: "invalid_request_error", 404: "not_found_error"}
    assert error == {"type": kinds[reply.status_code], "param": None, "code": None}
    assert message
    return str(message)


async def test_a_strange_form_is_read_all_the_same(gateway: Gateway) -> None:
    assert await transcribed(gateway, odd_forms.body(odd_forms.LEAST)) == ""
    for body, kind in odd_forms.odd():
        assert await transcribed(gateway, body, kind) == "", body[:500]


async def test_a_field_is_heeded_or_refused_by_its_name(gateway: Gateway) -> None:
    refused = set[str]()
    for name, body in odd_forms.odd_fields():
        message = await transcribed(gateway, body)
        word = {"keep_alive": "duration"}.get(name, name)
        assert not message or word in message, (body[:500], message)
        refused |= {name} if message else set()
    assert refused == FIELDS.keys() - {"language", "languages", "prompt", "keywords"}


async def test_a_broken_form_is_refused(gateway: Gateway) -> None:
    for body, kind in odd_forms.doubtful():
        await transcribed(gateway, body, kind)
    for body, kind in odd_forms.broken():
        assert await transcribed(gateway, body, kind) != "", (body[:500], kind)


@DRAWN
@given(edits=EDITS, kind_too=st.booleans())
async def test_a_form_edited_anywhere_is_never_a_fault_of_ours(
    gateway: Gateway, edits: list[tuple[float, int, bytes]], kind_too: bool
) -> None:
    kind = edited(odd_forms.TYPE.encode(), edits) if kind_too else odd_forms.TYPE.encode()
    body = edited(odd_forms.body(odd_forms.LEAST), edits)
    await transcribed(gateway, body, kind.decode("latin-1"))
