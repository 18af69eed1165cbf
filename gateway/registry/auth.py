"""Tokens: a registry gives them to known users, and to anonymous ones for what all may read."""

import json
import logging
import secrets
import time
from pathlib import Path

import httpx
from anyio.to_thread import run_sync

from gateway.errors import Broken, Invalid
from gateway.registry import keys
from gateway.registry.keys import UserKey
from gateway.registry.references import Challenge, signed_text, token_url

log = logging.getLogger(__name__)

KEY = Path("~/.ollama/id_ed25519")
"""Where Ollama keeps a user's key; the same user is the same to a registry."""

# Errors of a registry are passed on as they are, and held in memory for it.
MAX_RESPONSE = 1 << 16
"""Bytes of a response that is neither a blob nor a manifest."""


def load(path: Path) -> UserKey | None:
    """The key in this file; None when there is none that can be used."""
    path = path.expanduser()
    try:
        return keys.parse(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        # Most models need no key at all, so one that is of no use is no reason to fail.
        log.warning("the key %s cannot be used: %s", path.name, error)
        return None


async def fetch_token(
    http: httpx.AsyncClient, wanted: Challenge, origin: str, key: Path | None
) -> str:
    """A token for what was refused at `origin`; Broken with the registry's text if it has none."""
    try:
        url = token_url(
            wanted, origin=origin, time=int(time.time()), nonce=secrets.token_urlsafe(16)
        )
    except (Invalid, ValueError) as error:
        raise Broken(str(error)) from error
    # Without a key the request is not signed, which is enough for what everybody may read.
    owned = await run_sync(load, key) if key else None
    headers = {"Authorization": owned.authorization(signed_text(url))} if owned else {}
    async with http.stream("GET", url, headers=headers) as response:
        data = await read(response, MAX_RESPONSE)
    if response.status_code >= 400:
        raise Broken(f"{response.status_code}: {data.decode('utf-8', 'replace')}")
    try:
        answer = json.loads(data)
        # Registries of the OCI kind may call it by either name.
        return str(answer.get("token") or answer["access_token"])
    except (ValueError, AttributeError, KeyError) as error:
        raise Broken("the registry's answer has no token") from error


async def read(response: httpx.Response, most: int) -> bytes:
    """The body of a response; Broken when it is longer than `most` bytes."""
    # Counted while it comes: a response in chunks does not give its length first.
    gathered = bytearray()
    async for chunk in response.aiter_bytes():
        gathered += chunk
        if len(gathered) > most:
            raise Broken(f"the answer is longer than {most} bytes")
    return bytes(gathered)
