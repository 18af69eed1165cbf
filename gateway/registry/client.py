"""One registry over HTTP: requests with a token when it wants one, answers in Ollama's words."""

import platform
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx
from anyio.to_thread import run_sync

import gateway
from gateway.errors import Broken
from gateway.registry.auth import MAX_RESPONSE, fetch_token, read
from gateway.registry.references import Reference, challenge, resolve, same_origin
from gateway.registry.retry import (
    AccessDenied,
    ConnectionLost,
    ConnectionStalled,
    NotInRegistry,
    RetryPolicy,
    reason,
)
from gateway.store.manifests import MANIFEST_TYPE

LARGEST_MANIFEST = 16 << 20
_DIGITS = 18
# Ollama's limit, and its text when it is exceeded.
_HOPS = 10
_REDIRECTS = (301, 302, 303, 307, 308)
# Below 500, yet they may pass: timed out, too early, too many requests.
_PASSING = (408, 425, 429)
_MACHINES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64"}

Body = Callable[[], AsyncIterator[bytes]]
"""The body of a request, from its beginning each time it is called."""


@dataclass(frozen=True, slots=True)
class BlobLocation:
    """Where the bytes of a blob are; `own` is whether at the registry itself."""

    url: str
    own: bool


def agent() -> str:
    # Ollama's public registry reads the version in its own client's form, and may refuse with 412
    # what it takes for an old one. Our own name follows.
    machine = _MACHINES.get(platform.machine(), platform.machine())
    ours = f"paddock/{gateway.__version__}"
    return f"ollama/{gateway.OLLAMA_VERSION} ({machine} {sys.platform}) {ours}"


class Registry:
    """The registry of one reference. Methods raise Broken; a ConnectionLost may pass."""

    def __init__(self, http: httpx.AsyncClient, reference: Reference, key: Path | None) -> None:
        self.reference = reference
        self._http = http
        self._key = key
        self._token = ""
        # One token for all chunks: they are refused at the same time, and one of them gets it.
        self._authorizing = anyio.Lock()

    async def manifest(self) -> bytes:
        """The manifest, byte for byte."""
        headers = {"Accept": MANIFEST_TYPE}
        async with self.request(
            "GET", self.reference.manifest, headers=headers, follow=True
        ) as response:
            await accept(response)
            return await read(response, LARGEST_MANIFEST)

    async def size(self, digest: str) -> int | None:
        """Bytes of a blob; None when the registry does not report."""
        async with self.request("HEAD", self.reference.blob(digest), follow=True) as response:
            if response.status_code == 404:
                raise NotInRegistry
            length = response.headers.get("content-length", "")
            known = response.is_success and length.isdecimal() and len(length) <= _DIGITS
            return int(length) if known else None

    async def has(self, digest: str) -> bool:
        """Whether the blob need not be sent."""
        async with self.request("HEAD", self.reference.blob(digest), follow=True) as response:
            if response.status_code != 404:
                await accept(response)
            return response.is_success

    async def locate(self, digest: str) -> BlobLocation:
        """Where to read a blob: redirects are followed up to the first that leads elsewhere."""
        url = self.reference.blob(digest)
        for _ in range(_HOPS):
            # One byte, for a registry that does not redirect would start to send the whole blob.
            async with self.request("GET", url, headers={"Range": "bytes=0-0"}) as response:
                status = response.status_code
                goal = response.headers.get("location", "")
                if status in _REDIRECTS and goal:
                    goal = resolve(url, goal)
                    # The first step elsewhere ends the search: that address is signed for this
                    # blob, and reading there takes no token.
                    if not same_origin(url, goal):
                        return BlobLocation(goal, own=False)
                    url = goal
                    continue
                # 416: an empty blob has no first byte.
                if response.is_success or status == 416:
                    return BlobLocation(url, own=True)
                if status == 404:
                    raise NotInRegistry
                raise odd(status)
        raise Broken(f"maximum redirects exceeded ({_HOPS}) for directURL")

    @asynccontextmanager
    async def ranged(
        self, place: BlobLocation, first: int, last: int
    ) -> AsyncIterator[httpx.Response]:
        """The answer to a request for these bytes of a blob."""
        headers = {"Range": f"bytes={first}-{last}"}
        async with self.request(
            "GET", place.url, headers=headers, follow=True, own=place.own
        ) as response:
            yield response

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body | bytes | None = None,
        follow: bool = False,
        own: bool = True,
    ) -> AsyncIterator[httpx.Response]:
        """One request, answered whatever its status but 401; its body is still to be read.

        `own` sends the token, and requests one where that is wanted. `follow` obeys redirects.
        """
        # No other server may see the token: it would be given away, and storages reject addresses
        # that are signed when they come with credentials as well. httpx drops the header when it
        # follows a redirect to another origin; where we follow ourselves this does it.
        own = own and same_origin(url, self.reference.root)
        try:
            # One new token, one more attempt: who is refused with a fresh token stays refused.
            for again in (False, True):
                token = self._token if own else ""
                given = {
                    **(headers or {}),
                    **({"Authorization": f"Bearer {token}"} if token else {}),
                }
                built = self._http.build_request(
                    method, url, headers=given, content=body() if callable(body) else body
                )
                response = await self._http.send(built, stream=True, follow_redirects=follow)
                try:
                    # A 401 after a redirect is the storage's, whose realm is none of ours.
                    if response.status_code != 401 or not (
                        own and same_origin(str(response.url), url)
                    ):
                        yield response
                        return
                    wanted = response.headers.get("www-authenticate", "")
                finally:
                    await response.aclose()
                if again:
                    raise AccessDenied
                async with self._authorizing:
                    # Unless another request has got one since `token` was sent.
                    if self._token == token:
                        self._token = await fetch_token(
                            self._http, challenge(wanted), str(response.url), self._key
                        )
        except httpx.TimeoutException as error:
            raise ConnectionStalled(f'{method.capitalize()} "{url}": timed out') from error
        except httpx.TooManyRedirects as error:
            raise Broken(f"maximum redirects exceeded ({_HOPS}) for directURL") from error
        except httpx.TransportError as error:
            raise ConnectionLost(f'{method.capitalize()} "{url}": {reason(error)}') from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise Broken(f'{method.capitalize()} "{url}": {error}') from error


@asynccontextmanager
async def open_registry(
    reference: Reference, policy: RetryPolicy, key: Path | None
) -> AsyncIterator[Registry]:
    """Connections to the registry of `reference`, closed when the block ends."""
    # Reads the certificates, which takes longer than a request may hold up the others.
    trusted = await run_sync(httpx.create_ssl_context)
    async with httpx.AsyncClient(
        # Not compressed: ranges and lengths are those of the blob itself.
        headers={"User-Agent": agent(), "Accept-Encoding": "identity"},
        # No limit on the wait for a free connection: who waits for its turn has not stalled.
        timeout=httpx.Timeout(policy.stall, pool=None),
        max_redirects=_HOPS,
        verify=trusted,
    ) as http:
        yield Registry(http, reference, key)


async def accept(response: httpx.Response) -> None:
    """Raise what an answer of status 400 or more says, in the registry's own words."""
    status = response.status_code
    if status == 404:
        raise NotInRegistry
    if status >= 400:
        text = (await read(response, MAX_RESPONSE)).decode("utf-8", "replace")
        raise Broken(f"{status}: {text}")
    if not response.is_success:
        raise odd(status)


def odd(status: int) -> Broken:
    """An answer that was not expected: ConnectionLost when it may be another one next time."""
    text = f"unexpected status code {status}"
    return ConnectionLost(text) if status >= 500 or status in _PASSING else Broken(text)
