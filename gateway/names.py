"""Model names: `[scheme://][host/][namespace/]model[:tag]`, parsed, defaulted and printed.

- `parse`: the plain grammar, as copy, push and the target of create use it.
- `resolve`: the same after trimming and after taking off a source suffix (`:local`, `:cloud`).
- `stored`: like resolve, but a cloud reference is just the name that ends in `-cloud`.
"""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from gateway.errors import Forbidden, Invalid

DEFAULT_HOST = "registry.ollama.ai"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"
# Ollama's own sentences where its cloud is switched off; there is none here to be switched on.
CLOUD_MODEL = "ollama cloud is disabled: remote model is unavailable"
CLOUD_DETAILS = "ollama cloud is disabled: remote model details are unavailable"

# Lengths are bytes, and every legal byte is ASCII, so counting characters is the same.
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}")
_NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")


@dataclass(frozen=True, slots=True)
class Name:
    """A valid, fully defaulted name, in the case it was typed in; the store matches any case."""

    host: str
    namespace: str
    model: str
    tag: str

    @property
    def full(self) -> str:
        """All four parts: `host/namespace/model:tag`."""
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"

    @property
    def short(self) -> str:
        """The display form: default host and namespace left out, tag always there."""
        own = f"{self.model}:{self.tag}"
        # In any case, for `Library/m` and `library/m` are one model to the store.
        if self.host.lower() != DEFAULT_HOST:
            return f"{self.host}/{self.namespace}/{own}"
        if self.namespace.lower() != DEFAULT_NAMESPACE:
            return f"{self.namespace}/{own}"
        return own

    @property
    def parts(self) -> tuple[str, str, str, str]:
        """Host, namespace, model and tag, outermost first."""
        return self.host, self.namespace, self.model, self.tag

    @property
    def path(self) -> PurePosixPath:
        """Where the manifest lies below the manifests folder."""
        return PurePosixPath(*self.parts)


def from_parts(host: str, namespace: str, model: str, tag: str) -> Name | None:
    """The name of these four parts, or None when one of them breaks its grammar."""
    legal = (
        _HOST.fullmatch(host)
        and _NAMESPACE.fullmatch(namespace)
        and _PART.fullmatch(model)
        and _PART.fullmatch(tag)
    )
    return Name(host, namespace, model, tag) if legal else None


def parse(text: str) -> Name:
    """Read a name as typed; a scheme is accepted and dropped.

    A separator with nothing on one side is a mistake, not a default: `m:` and `/m` raise Invalid.
    """
    rest, colon, tag = text.rpartition(":")
    # A colon before a slash is that of a port: `localhost:5000/m`.
    if not colon or "/" in tag:
        rest, tag = text, DEFAULT_TAG
    rest, slash, model = rest.rpartition("/")
    host, outer, namespace = rest.rpartition("/")
    if not slash:
        namespace = DEFAULT_NAMESPACE
    if not outer:
        host = DEFAULT_HOST
    elif "://" in host:
        host = host.partition("://")[2]
    name = from_parts(host, namespace, model, tag)
    if name is None:
        raise Invalid("invalid model name")
    return name


def resolve(text: str, *, refusal: str = CLOUD_MODEL) -> Name:
    """The local name a request means, source suffix taken off.

    Raises Invalid when there is none, and Forbidden with `refusal` for a cloud reference.
    """
    base, source = _split_source(text)
    if source == "cloud":
        raise Forbidden(refusal)
    return parse(base)


def stored(text: str) -> Name:
    """The name to find in the store: `m:20b:cloud` is `m:20b-cloud`, `m:local` is `m`."""
    base, source = _split_source(text)
    if source == "cloud":
        tagged = ":" in base.rpartition("/")[2]
        base = f"{base}-cloud" if tagged else f"{base}:cloud"
    return parse(base)


def _split_source(text: str) -> tuple[str, str | None]:
    """`text` without its source suffix, and the source it named, if any."""
    trimmed = text.strip()
    if not trimmed:
        raise Invalid("model is required")
    # A second suffix is an error even if it is the same one: `m:local:local`.
    base, source = _cut_source(trimmed)
    if source and _cut_source(base)[1]:
        raise Invalid(f'use either :local or :cloud, not both: "{text}"')
    return base, source


def _cut_source(text: str) -> tuple[str, str | None]:
    base, colon, tag = text.rpartition(":")
    if not colon:
        return text, None
    # `:cloud` alone is a source, `:20b-cloud` a tag with the source behind a dash.
    explicit = tag.strip().lower()
    if explicit in ("cloud", "local"):
        return base.strip(), explicit
    if "/" not in tag and explicit.endswith("-cloud"):
        return text[: -len("-cloud")], "cloud"
    return text, None
