"""Who may call: the Origin and Host rules, as middleware around a pure decision."""

import ipaddress
import re
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS = b"GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"
_HEADERS = (
    b"Authorization,Content-Type,User-Agent,Accept,X-Requested-With,Openai-Beta,X-Stainless-Arch,"
    b"X-Stainless-Async,X-Stainless-Custom-Poll-Interval,X-Stainless-Helper-Method,"
    b"X-Stainless-Lang,X-Stainless-Os,X-Stainless-Package-Version,X-Stainless-Poll-Helper,"
    b"X-Stainless-Retry-Count,X-Stainless-Runtime,X-Stainless-Runtime-Version,X-Stainless-Timeout"
)
_PREFLIGHT = (
    (b"access-control-allow-methods", _METHODS),
    (b"access-control-allow-headers", _HEADERS),
    (b"access-control-max-age", b"43200"),
)
_PREFLIGHT_VARY = (
    (b"vary", b"Access-Control-Request-Method"),
    (b"vary", b"Access-Control-Request-Headers"),
)
_LOCAL = ("localhost", "127.0.0.1", "0.0.0.0")
# Shells around pages of their own: no web site can have such an origin.
_APPS = ("app://*", "file://*", "tauri://*", "vscode-webview://*", "vscode-file://*")
_LOCAL_SUFFIXES = (".localhost", ".local", ".internal")


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a request: `status` ends it there, `headers` go on its reply."""

    status: int | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class OriginPolicy:
    """`origins`: a pattern of every origin that may call, None for all of them."""

    origins: re.Pattern[str] | None
    loopback: bool
    """Bound to loopback only: then the Host header must name this machine."""
    machine: str

    @classmethod
    def of(cls, origins: Iterable[str], *, loopback: bool) -> "OriginPolicy":
        origins, machine = tuple(origins), socket.gethostname().lower()
        if "*" in origins:
            return cls(None, loopback, machine)
        # `*` within an origin stands for anything; a page of this machine may have any port.
        patterns = [re.escape(origin).replace(r"\*", ".*") for origin in (*origins, *_APPS)]
        for scheme in ("http", "https"):
            patterns += [re.escape(f"{scheme}://{host}") + r"(:\d+)?" for host in _LOCAL]
        return cls(re.compile("|".join(patterns)), loopback, machine)

    def check(self, method: str, host: str, origin: str | None) -> Decision:
        headers: tuple[tuple[bytes, bytes], ...] = ()
        # A page in a browser can reach loopback, so a request that names a foreign origin, or
        # reaches us under a foreign name (DNS rebinding), is refused before anything looks at it.
        # Origin first, then Host: the reply to a preflight depends on the origin alone.
        if origin and origin not in (f"http://{host}", f"https://{host}"):
            if self.origins is None:
                # The same for every origin, so it needs no Vary: a cache may keep one for all.
                headers = ((b"access-control-allow-origin", b"*"),)
            elif self.origins.fullmatch(origin):
                allowed = origin.encode("latin-1", "replace")
                headers = ((b"access-control-allow-origin", allowed), (b"vary", b"Origin"))
            else:
                return Decision(403)
            if method == "OPTIONS":
                vary = () if self.origins is None else _PREFLIGHT_VARY
                return Decision(204, (*headers, *_PREFLIGHT, *vary))
        # Whoever opens the server to a network does so for clients that know it by other names.
        if not self.loopback:
            return Decision(None, headers)
        name = hostname(host)
        if named(name, self.machine):
            return Decision(204 if method == "OPTIONS" else None, headers)
        return Decision(None if own_address(name) else 403, headers)


def hostname(host: str) -> str:
    """A Host header without its port, in lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return (host.rpartition(":")[0] if host.count(":") == 1 else host).lower()


def named(name: str, machine: str) -> bool:
    """Whether a name, not an address, means this machine."""
    return name in ("", "localhost", machine) or name.endswith(_LOCAL_SUFFIXES)


def own_address(name: str) -> bool:
    """Whether `name` is an address of this machine or its network."""
    # A page that came from a foreign name has that name in its Host header, whatever address its
    # name server gives out: it can never have one of these.
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_private or address.is_unspecified


class OriginGuard:
    """Applies a policy to every HTTP request. `methods`: what a path takes, for OPTIONS."""

    def __init__(self, app: ASGIApp, policy: OriginPolicy, methods: Callable[[str], str]) -> None:
        self.app = app
        self.policy = policy
        self.methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_headers: Mapping[bytes, bytes] = dict(scope["headers"])
        origin = request_headers.get(b"origin")
        # latin-1 reads any byte, and a client may send any.
        decision = self.policy.check(
            scope["method"],
            request_headers.get(b"host", b"").decode("latin-1"),
            origin.decode("latin-1") if origin else None,
        )
        if decision.status is not None:
            headers = [*decision.headers, (b"content-length", b"0")]
            allow = self.methods(scope["path"])
            # Ollama's router knows the route before it checks the origin.
            if allow and scope["method"] not in allow.split(", "):
                headers.append((b"allow", allow.encode()))
            start = {"type": "http.response.start", "status": decision.status, "headers": headers}
            await send(start)
            await send({"type": "http.response.body", "body": b""})
            return

        async def add_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *decision.headers]}
            await send(message)

        # Without a foreign origin there are none, and the reply is spared a function on its way.
        await self.app(scope, receive, add_headers if decision.headers else send)
