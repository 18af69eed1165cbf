"""Log lines, for people and for machines; and the line of every request."""

import json
import logging
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from gateway.http.request_log import (
    JsonFormatter,
    RequestLog,
    RequestRecord,
    TextFormatter,
    setup,
    summary,
)

BEGAN = 1_700_000_000.25
FACTS = RequestRecord("0a1b2c", 0.0, status=200)


def record(level: int = logging.INFO, **more: Any) -> logging.LogRecord:
    fields = {"name": "gateway.serve", "msg": "stop %s", "args": ("now",), "levelno": level}
    fields |= {"levelname": logging.getLevelName(level), "created": BEGAN, "msecs": 250.0}
    return logging.makeLogRecord(fields | more)


def failure() -> Any:
    try:
        raise ValueError("no")
    except ValueError:
        return sys.exc_info()


# ---- formats


def test_a_line_for_people_has_time_level_logger_and_message() -> None:
    clock = time.strftime("%H:%M:%S", time.localtime(BEGAN))
    assert TextFormatter().format(record()) == f"{clock}.250 info    serve  stop now"
    loud = record(logging.WARNING, name="runners.scheduler")
    assert TextFormatter().format(loud) == f"{clock}.250 warning runners.scheduler  stop now"


def test_a_traceback_follows_the_line() -> None:
    lines = TextFormatter().format(record(exc_info=failure())).splitlines()
    assert lines[0].endswith("stop now")
    assert (lines[1], lines[-1]) == ("Traceback (most recent call last):", "ValueError: no")


def test_a_line_for_machines_is_one_object_with_its_fields_in_it() -> None:
    line = JsonFormatter().format(record(fields={"status": 200, "model": "é\n"}))
    assert line == (
        '{"time": 1700000000.25, "level": "info", "logger": "gateway.serve", '
        '"message": "stop now", "status": 200, "model": "é\\n"}'
    )
    reported = json.loads(JsonFormatter().format(record(exc_info=failure())))
    assert reported["exception"].endswith("ValueError: no")


# ---- setup


@pytest.fixture
def loggers() -> Iterator[None]:
    """Loggers as they were, after the test."""
    root = logging.getLogger()
    noisy = [logging.getLogger(name) for name in ("asyncio", "hypercorn.error", "httpx")]
    noisy.append(logging.getLogger("httpcore"))
    handlers, levels = root.handlers[:], [logger.level for logger in (root, *noisy)]
    yield
    root.handlers[:] = handlers
    for logger, level in zip((root, *noisy), levels, strict=True):
        logger.setLevel(level)


@pytest.mark.usefixtures("loggers")
@pytest.mark.parametrize(
    ("debug", "shown"),
    [
        (0, ["ours info", "theirs warning"]),
        (1, ["ours debug", "ours info", "theirs warning"]),
        (2, ["ours debug", "ours info", "theirs debug", "theirs warning"]),
    ],
)
def test_debug_shows_more_and_the_libraries_last(
    debug: int, shown: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    setup(debug, as_json=True)
    setup(debug, as_json=True)  # a second time adds nothing
    ours, theirs = logging.getLogger("runners"), logging.getLogger("httpx")
    ours.debug("ours debug")
    ours.info("ours info")
    theirs.debug("theirs debug")
    theirs.warning("theirs warning")
    assert [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()] == shown


@pytest.mark.usefixtures("loggers")
def test_lines_are_text_unless_json_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    setup(0, as_json=False)
    logging.getLogger("gateway.x").info("hello")
    written = capsys.readouterr().err
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} info    x  hello\n", written)


# ---- the line of a request


def test_a_line_names_only_what_is_known() -> None:
    assert summary(FACTS, "GET", "/", 0.0123456) == {
        "request": "0a1b2c",
        "method": "GET",
        "path": "/",
        "status": 200,
        "total_ms": 12.3,
    }


def test_a_line_tells_the_times_in_milliseconds() -> None:
    facts = replace(FACTS, model="m", queue=0.0, load=1.5, first=2.00004, tokens=0, rate=33.333)
    facts = replace(facts, truncated="3 messages", error='a "b"\n')
    line = summary(facts, "POST", "/api/chat", 2.5)
    assert list(line.items())[4:] == [
        ("total_ms", 2500.0),
        ("model", "m"),
        ("queue_ms", 0.0),
        ("load_ms", 1500.0),
        ("first_ms", 2000.0),
        ("tokens", 0),
        ("tokens_per_s", 33.3),
        ("truncated", "3 messages"),
        ("error", 'a "b"\n'),
    ]


def test_a_client_that_left_before_the_head_is_499() -> None:
    assert summary(replace(FACTS, status=0), "POST", "/api/chat", 0.0)["status"] == 499


# ---- as middleware


class Client:
    """Sends one request and keeps what it gets."""

    def __init__(self) -> None:
        self.scope: Scope = {"type": "http", "method": "GET", "path": "/x"}
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        raise AssertionError

    async def send(self, message: Message) -> None:
        self.sent.append(message)


async def reply(scope: Scope, receive: Receive, send: Send) -> None:
    scope["state"]["record"].model = "m"
    await send({"type": "http.response.start", "status": 201, "headers": [(b"a", b"b")]})
    await send({"type": "http.response.body", "body": b"x"})


async def leave(scope: Scope, receive: Receive, send: Send) -> None:
    """The client is gone before there is a head."""


async def break_down(scope: Scope, receive: Receive, send: Send) -> None:
    raise KeyError("defect")


async def break_down_late(scope: Scope, receive: Receive, send: Send) -> None:
    await reply(scope, receive, send)
    raise KeyError("defect")


def reported(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    [line] = caplog.records
    return dict(vars(line)["fields"])


@pytest.mark.anyio
async def test_every_request_has_an_id_in_its_reply_and_in_its_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "paddock")
    client = Client()
    await RequestLog(reply)(client.scope, client.receive, client.send)
    number = reported(caplog)["request"]
    assert re.fullmatch("[0-9a-f]{12}", number)
    assert client.sent == [
        {
            "type": "http.response.start",
            "status": 201,
            "headers": [(b"a", b"b"), (b"x-request-id", number.encode())],
        },
        {"type": "http.response.body", "body": b"x"},
    ]
    total = reported(caplog)["total_ms"]
    assert caplog.messages == [
        f"request={number} method=GET path=/x status=201 total_ms={total} model=m"
    ]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("app", "status"), [(reply, 201), (leave, 499), (break_down, 500), (break_down_late, 201)]
)
async def test_the_line_has_the_status_that_the_client_saw(
    app: Any, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "paddock")
    client = Client()
    if app in (break_down, break_down_late):
        with pytest.raises(KeyError):
            await RequestLog(app)(client.scope, client.receive, client.send)
    else:
        await RequestLog(app)(client.scope, client.receive, client.send)
    assert reported(caplog)["status"] == status


@pytest.mark.anyio
async def test_nothing_is_written_when_nobody_reads_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "paddock")
    client = Client()
    await RequestLog(reply)(client.scope, client.receive, client.send)
    assert (len(client.sent), caplog.records) == (2, [])


@pytest.mark.anyio
async def test_what_is_not_http_passes_without_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "paddock")
    client = Client()
    client.scope = {"type": "lifespan"}
    await RequestLog(leave)(client.scope, client.receive, client.send)
    assert (client.scope, caplog.records) == ({"type": "lifespan"}, [])
