"""What a fake engine of a gateway process has seen and done so far."""

from typing import Any

import httpx

from tests.fakes.process import Gateway


def record(gateway: Gateway) -> dict[str, Any]:
    """That of the engine started last; see `Server.record` of the fake."""
    transport = httpx.HTTPTransport(uds=str(gateway.sockets()[-1]))
    with httpx.Client(transport=transport, base_url="http://engine") as client:
        reported: dict[str, Any] = client.get("/fake").json()
        return reported
