"""The HTTP API as the commands see it. The only module of the command line that does HTTP."""

import contextlib
import json
import platform
import sys
from collections.abc import Generator, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Self

import httpx

import gateway
from gateway import address
from gateway.cli.json_fields import JsonMapping, list_field, object_field, objects_field, text_field
from gateway.errors import GatewayError
from gateway.golang.json_encode import dumps

QUICK = httpx.Timeout(60, connect=5)
PATIENT = httpx.Timeout(None, connect=5)  # a model may take any time to load and to answer

_JSON = {"Content-Type": "application/json", "Accept": "application/json"}
_NDJSON = {"Content-Type": "application/json", "Accept": "application/x-ndjson"}


class ServerError(GatewayError):
    """The server refused, or could not be reached. `status` is 0 when there was no reply."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Api:
    """One server. Every method raises ServerError; an open one holds connections until `close`."""

    def __init__(self, url: str) -> None:
        agent = f"paddock/{gateway.__version__} ({platform.machine()} {sys.platform})"
        self.url = url
        try:
            self._client = httpx.Client(
                base_url=url,
                timeout=QUICK,
                headers={"User-Agent": f"{agent} Python/{platform.python_version()}"},
                # No proxy stands between us and this machine, whatever HTTP_PROXY says.
                trust_env=not is_loopback(url),
                # Reading the system's certificates takes a while, and plain http needs none.
                verify=url.startswith("https:"),
            )
        except httpx.InvalidURL as exc:
            raise ServerError(f"{url} is no address of a server: {exc}") from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def check(self) -> None:
        """Make sure that a server answers."""
        self._call("HEAD", "/")

    def version(self) -> str:
        """Paddock's own version; of another server, the only one it reports."""
        reply = self._json("GET", "/api/version")
        return text_field(reply, "paddock") or text_field(reply, "version")

    def models(self) -> list[JsonMapping]:
        """The library, newest first."""
        return objects_field(self._json("GET", "/api/tags"), "models")

    def running(self) -> list[JsonMapping]:
        """What is loaded, longest remaining time first."""
        return objects_field(self._json("GET", "/api/ps"), "models")

    def show(self, model: str, *, verbose: bool = False) -> JsonMapping:
        return self._json("POST", "/api/show", {"model": model, "verbose": verbose})

    def copy(self, source: str, destination: str) -> None:
        self._call("POST", "/api/copy", {"source": source, "destination": destination})

    def delete(self, model: str) -> None:
        self._call("DELETE", "/api/delete", {"model": model})

    def unload(self, model: str) -> None:
        body = {"model": model, "prompt": "", "keep_alive": 0}
        self._call("POST", "/api/generate", body, timeout=PATIENT)

    def embed(self, body: JsonMapping) -> list[object]:
        """One vector per input."""
        return list_field(self._json("POST", "/api/embed", body, timeout=PATIENT), "embeddings")

    def has_blob(self, digest: str) -> bool:
        try:
            self._call("HEAD", f"/api/blobs/{digest}")
        except ServerError as exc:
            if exc.status == 404:
                return False
            raise
        return True

    def upload(self, digest: str, size: int, chunks: Iterable[bytes]) -> None:
        """Send a blob of `size` bytes."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        with self._translated():
            response = self._client.post(
                f"/api/blobs/{digest}", content=chunks, headers=headers, timeout=PATIENT
            )
        _raise_for_status(response.status_code, response.content)

    def stream(self, path: str, request: JsonMapping) -> Generator[JsonMapping, None, None]:
        """The objects of a streamed reply, as they come. Close it to hang up early."""
        with (
            self._translated(),
            self._client.stream(
                "POST", path, content=dumps(request), headers=_NDJSON, timeout=PATIENT
            ) as response,
        ):
            # Hypercorn sends no reason phrase; scripts look for Go's, which are the standard's.
            code = response.status_code
            body = response.read() if response.is_error else b""
            _raise_for_status(code, body, f"{code} {httpx.codes.get_reason_phrase(code)}: ")
            for line in lines(response.iter_bytes()):
                item = self._object(line)
                if item.get("error"):
                    # The status went out long before the engine failed, so it says nothing.
                    raise ServerError(_error_text(line), response.status_code)
                yield item

    def _json(
        self,
        method: str,
        path: str,
        body: JsonMapping | None = None,
        timeout: httpx.Timeout = QUICK,
    ) -> dict[str, object]:
        return self._object(self._call(method, path, body, timeout=timeout))

    def _call(
        self,
        method: str,
        path: str,
        body: JsonMapping | None = None,
        timeout: httpx.Timeout = QUICK,
    ) -> bytes:
        """One request and its whole reply."""
        content = None if body is None else dumps(body)
        with self._translated():
            response = self._client.request(
                method, path, content=content, headers=_JSON, timeout=timeout
            )
        _raise_for_status(response.status_code, response.content)
        return response.content

    def _object(self, data: bytes) -> dict[str, object]:
        try:
            value = json.loads(data)
        except ValueError as exc:
            raise ServerError(f"the program at {self.url} does not speak JSON") from exc
        if not isinstance(value, dict):
            raise ServerError(f"the program at {self.url} sent no JSON object")
        return value

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise httpx's errors as ServerError, in words a user can act on."""
        try:
            yield
        except httpx.ConnectError as exc:
            if "refused" not in str(exc):
                raise ServerError(f"could not reach {self.url}: {exc}") from exc
            raise ServerError(
                f"could not connect to the Paddock server at {self.url}; "
                "run 'paddock serve' to start it"
            ) from exc
        except httpx.TimeoutException as exc:
            raise ServerError(f"the server at {self.url} took too long to answer") from exc
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise ServerError(f"lost the server at {self.url}: {exc}") from exc


def _raise_for_status(status: int, body: bytes, prefix: str = "") -> None:
    """Raise ServerError for a status of 400 or more; its text is `prefix` and the reply's error."""
    if status >= 400:
        raise ServerError(prefix + _error_text(body), status)


def _error_text(body: bytes) -> str:
    """The `error` of a JSON body, else the body itself, else a hint."""
    text = body.decode("utf-8", "replace").strip()
    with contextlib.suppress(ValueError):
        value = json.loads(text)
        if isinstance(value, dict):
            # `/api` replies hold a text here, `/v1` replies an object with a message.
            text = text_field(value, "error") or text_field(object_field(value, "error"), "message")
    return text or "something went wrong, please see the Paddock server's log for details"


def lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines that are not blank, cut at `\\n` only: model text holds every other separator."""
    pending: list[bytes] = []
    for chunk in chunks:
        first, *rest = chunk.split(b"\n")
        pending.append(first)
        for part in rest:
            line = b"".join(pending)
            pending = [part]
            if line.strip():
                yield line
    if last := b"".join(pending).strip():
        yield last


def base_url(environ: Mapping[str, str]) -> str:
    """Where the server is, from PADDOCK_HOST, else OLLAMA_HOST, else this machine.

    Raises Invalid if the port is none.
    """
    # Quotes come from `.env` files and unit files that do not take them off.
    values = (
        environ.get(name, "").strip().strip("\"'").strip()
        for name in ("PADDOCK_HOST", "OLLAMA_HOST")
    )
    text = next((value for value in values if value), "")
    if text == "ollama.com":
        return "https://ollama.com:443"
    scheme, separator, rest = text.partition("://")
    _, slash, path = (rest if separator else text).partition("/")
    place = address.parse(text).reachable
    return f"{scheme if separator else 'http'}://{place.bind}{(slash + path).rstrip('/')}"


@contextlib.contextmanager
def connect(environ: Mapping[str, str]) -> Iterator[Api]:
    """The server that `environ` names, after it answered a first request."""
    with Api(base_url(environ)) as api:
        # A stopped server is reported in the same words by all commands, whatever they do next.
        api.check()
        yield api


def is_loopback(url: str) -> bool:
    """The URL's host is this machine."""
    return address.Address(httpx.URL(url).host, 0).loopback
