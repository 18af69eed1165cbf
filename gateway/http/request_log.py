"""Log lines: text for people, JSON for machines; and one line for every request."""

import json
import logging
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("paddock")

_PLAIN = re.compile(r"[!#-\[\]-~]+")
"""Printable ASCII without blanks, quotes and backslashes."""


@dataclass(slots=True)
class RequestRecord:
    """What a request's line says; seconds. Filled in on the way, read at the end."""

    id: str
    began: float
    """time.perf_counter() when the request arrived."""
    model: str = ""
    status: int = 0
    queue: float | None = None
    load: float | None = None
    first: float | None = None
    """From the request to its first token."""
    tokens: int | None = None
    rate: float | None = None
    """Tokens per second."""
    truncated: str = ""
    """What of the prompt was left out because it was too long: "3 messages"."""
    error: str = ""


def setup(debug: int, as_json: bool) -> None:
    """Send every logger's lines to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    # They log every connection and request, so even debugging the gateway goes without them.
    for noisy in ("asyncio", "hypercorn.error", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.DEBUG if debug > 1 else logging.WARNING)


class TextFormatter(logging.Formatter):
    """`12:00:00.123 info  runners.scheduler  start runner 2 …`"""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        # Most lines would begin with it.
        name = record.name.removeprefix("gateway.")
        line = (
            f"{clock}.{int(record.msecs):03d} {record.levelname.lower():<7} {name}  "
            f"{record.getMessage()}"
        )
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One object a line: time (UNIX seconds), level, logger, message, and a request's record."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": round(record.created, 6),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry.update(getattr(record, "fields", {}))
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class RequestLog:
    """Gives every request an id (also a response header) and, at its end, a line."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        record = RequestRecord(secrets.token_hex(6), time.perf_counter())
        scope.setdefault("state", {})["record"] = record
        header = (b"x-request-id", record.id.encode())

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        try:
            await self.app(scope, receive, noting)
        except Exception:
            # Whoever stands around this answers it.
            record.status = record.status or 500
            raise
        finally:
            seconds = time.perf_counter() - record.began
            if log.isEnabledFor(logging.INFO):
                fields = summary(record, scope["method"], scope["path"], seconds)
                log.info(as_text(fields), extra={"fields": fields})


def summary(record: RequestRecord, method: str, path: str, seconds: float) -> dict[str, Any]:
    """The members of a request's line, those that mean nothing for it left out; milliseconds."""
    line: dict[str, Any] = {
        "request": record.id,
        "method": method,
        "path": path,
        # A client that left before the head of its reply got none; 499 is what servers log then.
        "status": record.status or 499,
        "total_ms": round(seconds * 1e3, 1),
    }
    if record.model:
        line["model"] = record.model
    for key, value in (("queue", record.queue), ("load", record.load), ("first", record.first)):
        if value is not None:
            line[f"{key}_ms"] = round(value * 1e3, 1)
    if record.tokens is not None:
        line["tokens"] = record.tokens
    if record.rate is not None:
        line["tokens_per_s"] = round(record.rate, 1)
    if record.truncated:
        line["truncated"] = record.truncated
    if record.error:
        line["error"] = record.error
    return line


def as_text(line: Mapping[str, Any]) -> str:
    """`key=value` pairs; a value with blanks or worse in it is quoted as JSON."""
    return " ".join(
        f"{key}={value if _PLAIN.fullmatch(str(value)) else json.dumps(str(value))}"
        for key, value in line.items()
    )
