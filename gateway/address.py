"""Where to listen: the host setting, as Ollama reads it. Pure."""

import ipaddress
from dataclasses import dataclass

from gateway.errors import Invalid

DEFAULT_PORT = 11434
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port; `host` without brackets."""

    host: str
    port: int

    @property
    def bind(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def reachable(self) -> "Address":
        """Where a client finds it: "every interface" means this machine to a client."""
        return Address({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host), self.port)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse(text: str) -> Address:
    """`host`, `host:port`, `:port`, `[v6]:port`, `v6`, each with or without a scheme and a path."""
    scheme, separator, rest = text.partition("://")
    default = _PORTS.get(scheme, DEFAULT_PORT) if separator else DEFAULT_PORT
    place = (rest if separator else text).partition("/")[0]
    if place.startswith("["):
        host, _, port = place[1:].partition("]")
        port = port.removeprefix(":")
    elif place.count(":") == 1:
        host, _, port = place.partition(":")
    else:
        host, port = place, ""  # more than one colon without brackets: an IPv6 address
    if port and not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise Invalid(f"{text!r} has no valid port")
    return Address(host or "127.0.0.1", int(port) if port else default)
