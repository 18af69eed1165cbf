"""URLs of a registry, and the headers of its responses: texts in, texts out.

The API is that of OCI registries ("distribution"); tokens are requested in Ollama's way.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit

from gateway.errors import Broken, Invalid
from gateway.names import Name

_VALUE = r'{name}="([^"]*)"'
# At most 18 digits: more than any blob has, and few enough for a 64-bit integer.
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
# The hexadecimal text of the hash of an empty body, not the hash itself, is what gets encoded.
_EMPTY = base64.b64encode(
    b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
).decode()
# One service under two names: the first sends its clients to the second for a token.
_TWINS = frozenset({"hf.co", "huggingface.co"})


@dataclass(frozen=True, slots=True)
class Reference:
    """A name at its registry, and the scheme to speak with it: https or http."""

    name: Name
    scheme: str = "https"

    @property
    def repository(self) -> str:
        """Namespace and model, as mounts name them."""
        return f"{self.name.namespace}/{self.name.model}"

    @property
    def root(self) -> str:
        return f"{self.scheme}://{self.name.host}/v2/{self.repository}"

    @property
    def manifest(self) -> str:
        return f"{self.root}/manifests/{self.name.tag}"

    @property
    def uploads(self) -> str:
        return f"{self.root}/blobs/uploads/"

    def blob(self, digest: str) -> str:
        return f"{self.root}/blobs/{digest}"


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a registry wants before it answers; what it leaves out is empty."""

    realm: str
    service: str
    scopes: tuple[str, ...]


def scheme(text: str, *, insecure: bool) -> str:
    """How to speak with the registry of a name as it was typed.

    Plain http takes `insecure`, whether or not the name says it. Raises Invalid.
    """
    typed, separator, _ = text.strip().partition("://")
    if not separator:
        return "http" if insecure else "https"
    if typed.lower() == "http" and not insecure:
        raise Invalid("insecure protocol http")
    if typed.lower() not in ("http", "https"):
        raise Invalid(f'unsupported protocol "{typed}"')
    return typed.lower()


def challenge(header: str) -> Challenge:
    """The chunks of a WWW-Authenticate header."""

    def value(name: str) -> str:
        match = re.search(_VALUE.format(name=name), header)
        return match[1] if match else ""

    return Challenge(value("realm"), value("service"), tuple(value("scope").split()))


def token_url(wanted: Challenge, *, origin: str, time: int, nonce: str) -> str:
    """Where to ask for a token; `origin` is the URL that was refused, `time` unix seconds.

    Raises Invalid for a realm elsewhere.
    """
    there, here = urlsplit(wanted.realm), urlsplit(origin)
    # Whoever runs one registry could otherwise have us fetch a token for another, and be sent it.
    if there.netloc != here.netloc and not {there.netloc, here.netloc} <= _TWINS:
        raise Invalid(f'realm host "{there.netloc}" does not match original host "{here.netloc}"')
    given = parse_qsl(there.query, keep_blank_values=True)
    parameters = [
        *given,
        ("service", wanted.service),
        *(("scope", scope) for scope in wanted.scopes),
        ("ts", str(time)),
        ("nonce", nonce),
    ]
    # Sorted as Ollama sends it: the text that is signed holds this URL, order and escapes included.
    query = urlencode(sorted(parameters, key=lambda item: item[0]))
    return there._replace(query=query, fragment="").geturl()


def signed_text(url: str) -> str:
    """What a key signs to ask for a token at `url`."""
    return f"GET,{url},{_EMPTY}"


def same_origin(first: str, second: str) -> bool:
    """Whether a token for one URL may be sent to the other."""
    return urlsplit(first)[:2] == urlsplit(second)[:2]


def resolve(url: str, location: str) -> str:
    """Where an answer from `url` sends us. Raises Broken when that is nowhere."""
    try:
        goal = urljoin(url, location)
        urlsplit(goal)
    except ValueError as error:
        raise Broken(f"the registry sends us to {location!r:.200}") from error
    return goal


def content_range(header: str) -> tuple[int, int, int | None] | None:
    """First byte, last byte and total (None: not given) of a Content-Range; else None."""
    match = _RANGE.fullmatch(header.strip())
    if match is None:
        return None
    return int(match[1]), int(match[2]), None if match[3] == "*" else int(match[3])


def with_query(url: str, extra: Mapping[str, str]) -> str:
    """`url` with more in its query."""
    # What is there stays as it is, byte for byte, for a storage may have signed it.
    query = "&".join(f"{quote(key)}={quote(value, safe='')}" for key, value in extra.items())
    return f"{url}{'&' if '?' in url else '?'}{query}"
