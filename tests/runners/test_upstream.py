"""HTTP to a runner, from servers that keep the rules and servers that do not."""

import itertools
import json
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream, TaskGroup

from runners.errors import Refused
from runners.states import IllegalStep
from runners.upstream import (
    UPSTREAM_STEPS,
    Upstream,
    UpstreamEvent,
    UpstreamState,
    healthy,
    open_call,
    refusal,
)

pytestmark = pytest.mark.anyio

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def socket() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "s.sock"


class StubServer:
    """Answers every connection with the same pieces, one write each; `received` is what came."""

    def __init__(self, tasks: TaskGroup, pieces: Sequence[bytes], *, close: bool) -> None:
        self.tasks = tasks
        self.pieces = pieces
        self.close = close
        self.received = b""
        self.left = anyio.Event()

    async def answer(self, stream: SocketStream) -> None:
        async with stream:
            self.received += await stream.receive()
            try:
                for piece in self.pieces:
                    await stream.send(piece)
                if not self.close:
                    await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                self.left.set()


@asynccontextmanager
async def serving(socket: Path, *pieces: bytes, close: bool = False) -> AsyncIterator[StubServer]:
    async with await anyio.create_unix_listener(socket) as listener:
        async with anyio.create_task_group() as tasks:
            server = StubServer(tasks, pieces, close=close)
            tasks.start_soon(listener.serve, server.answer)
            with anyio.fail_after(20):
                yield server
            tasks.cancel_scope.cancel()


def chunks(*bodies: bytes) -> list[bytes]:
    return [b"%x\r\n%b\r\n" % (len(body), body) for body in bodies]


# Each state, and what each event makes of it: CONNECTED, HEAD_END, BODY_END, BREAK. None: illegal.
STEPS: dict[str, tuple[str | None, str | None, str | None, str | None]] = {
    "connecting": ("head", None, None, None),
    "head": (None, "body", None, "lost"),
    "body": (None, None, "complete", "lost"),
    "complete": (None, None, None, "complete"),
    "lost": (None, None, "lost", "lost"),
}


def test_the_table_of_states_is_as_listed_here() -> None:
    assert list(STEPS) == [state.value for state in UpstreamState]
    assert {
        (UpstreamState(state), event): UpstreamState(following)
        for state, row in STEPS.items()
        for event, following in zip(UpstreamEvent, row, strict=True)
        if following is not None
    } == UPSTREAM_STEPS


@pytest.mark.parametrize(
    ("state", "event"), list(itertools.product(UpstreamState, UpstreamEvent)), ids=lambda x: x.value
)
def test_every_event_moves_by_the_table_or_raises_and_changes_nothing(
    state: UpstreamState, event: UpstreamEvent
) -> None:
    upstream = Upstream()
    upstream.state = state
    following = UPSTREAM_STEPS.get((state, event))
    if following is not None:
        upstream.step(event)
        assert upstream.state is following
        return
    with pytest.raises(IllegalStep, match=f"^{event.value} while {state.value}$"):
        upstream.step(event)
    assert upstream.state is state


async def test_a_second_reply_is_not_taken_for_more_of_the_first(socket: Path) -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    async with serving(socket, reply + b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno"):
        async with open_call(socket, "/x", b"") as upstream:
            assert await upstream.read_all() == b"hi"
            assert (upstream.status, upstream.state) == (200, UpstreamState.COMPLETE)


async def test_a_post_says_what_it_must_and_nothing_else(socket: Path) -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    async with serving(socket, reply) as server:
        async with open_call(socket, "/completion", b'{"a":1}') as upstream:
            assert await upstream.read_all() == b"hi"
    head, _, body = server.received.partition(b"\r\n\r\n")
    assert body == b'{"a":1}'
    assert head.split(b"\r\n") == [
        b"POST /completion HTTP/1.1",
        b"Host: runner",
        b"Content-Type: application/json",
        b"Content-Length: 7",
        b"Connection: close",
    ]


async def test_events_come_as_they_are_sent(socket: Path) -> None:
    async with serving(socket, CHUNKED, *chunks(b"data: 1\n\n", b"data: 2\n\n"), b"0\r\n\r\n"):
        async with open_call(socket, "/x", b"") as upstream:
            whole = b""
            while piece := await upstream.read():
                whole += piece
            assert whole == b"data: 1\n\ndata: 2\n\n"
            assert await upstream.read() == b""


async def test_a_reply_cut_at_every_byte_reads_the_same(socket: Path) -> None:
    reply = b"".join([CHUNKED, *chunks("héllo ".encode(), "🦙".encode()), b"0\r\n\r\n"])
    async with serving(socket, *(reply[i : i + 1] for i in range(len(reply)))):
        async with open_call(socket, "/x", b"") as upstream:
            assert (await upstream.read_all()).decode() == "héllo 🦙"


async def test_a_reply_without_length_ends_with_the_connection(socket: Path) -> None:
    async with serving(socket, b"HTTP/1.1 200 OK\r\n\r\nabc", close=True):
        async with open_call(socket, "/x", b"") as upstream:
            assert await upstream.read() == b"abc"
            with pytest.raises(ConnectionError):
                await upstream.read()


async def test_a_body_flows_to_its_end(socket: Path) -> None:
    bodies = [b"data: %d\n\n" % number for number in range(200)]
    taken: list[bytes] = []

    def take(data: bytes) -> bool:
        taken.append(data)
        return True

    async with serving(socket, CHUNKED, *chunks(*bodies), b"0\r\n\r\n"):
        async with open_call(socket, "/") as upstream:
            assert not await upstream.flow(take)
            assert not await upstream.flow(take)
            assert await upstream.read() == b""
    assert b"".join(taken) == b"".join(bodies)


async def test_whoever_has_enough_is_given_the_rest_when_asking_again(socket: Path) -> None:
    bodies = [b"data: %d\n\n" % number for number in range(50)]
    taken: list[bytes] = []

    def take_one(data: bytes) -> bool:
        taken.append(data)
        return False

    async with serving(socket, CHUNKED, *chunks(*bodies), b"0\r\n\r\n"):
        async with open_call(socket, "/") as upstream:
            rounds = 0
            while await upstream.flow(take_one):
                rounds += 1
    assert rounds == len(taken)
    assert b"".join(taken) == b"".join(bodies)


async def test_what_came_in_one_read_is_handed_on_in_one_piece(socket: Path) -> None:
    taken: list[bytes] = []

    def take(data: bytes) -> bool:
        taken.append(data)
        return True

    async with serving(socket, b"".join([CHUNKED, *chunks(b"a", b"b", b"c"), b"0\r\n\r\n"])):
        async with open_call(socket, "/") as upstream:
            assert not await upstream.flow(take)
    assert taken == [b"abc"]


async def test_what_the_taker_raises_is_raised_and_the_call_ends(socket: Path) -> None:
    def take(data: bytes) -> bool:
        raise ValueError(data.decode())

    async with serving(socket, CHUNKED, *chunks(b"no")) as server:
        with pytest.raises(ValueError, match=r"^no$"):
            async with open_call(socket, "/") as upstream:
                await upstream.flow(take)
        await server.left.wait()


async def test_a_flow_cut_short_is_a_connection_error(socket: Path) -> None:
    taken: list[bytes] = []

    def take(data: bytes) -> bool:
        taken.append(data)
        return True

    async with serving(socket, CHUNKED, *chunks(b"half"), close=True):
        async with open_call(socket, "/") as upstream:
            with pytest.raises(ConnectionError):
                await upstream.flow(take)
    assert taken == [b"half"]


async def test_a_refusal_carries_the_engines_words(socket: Path) -> None:
    error = {"error": {"code": 400, "message": "too long", "type": "exceed_context_size_error"}}
    body = json.dumps(error).encode()
    head = b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with serving(socket, head + body):
        with pytest.raises(Refused) as caught:
            async with open_call(socket, "/x", b""):
                pass
    assert (caught.value.message, caught.value.status) == ("too long", 400)
    assert caught.value.kind == "exceed_context_size_error"


@pytest.mark.parametrize(
    ("body", "message"),
    [(b"", "status 500"), (b"oops", "oops"), (b"[]", "[]"), (b"\xff", "\ufffd")],
)
def test_a_refusal_in_another_form_is_taken_as_text(body: bytes, message: str) -> None:
    assert refusal(500, body).message == message


async def test_nobody_there_is_a_connection_error(socket: Path) -> None:
    with pytest.raises(ConnectionError):
        async with open_call(socket, "/x", b""):
            pass


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        (b"HTTP/1.1 200 OK\r\nContent-Le",),
        (b"garbage\r\n\r\n",),
    ],
)
async def test_no_head_is_a_connection_error(socket: Path, pieces: tuple[bytes, ...]) -> None:
    async with serving(socket, *pieces, close=True):
        with pytest.raises(ConnectionError):
            async with open_call(socket, "/x", b""):
                pass


@pytest.mark.parametrize(
    "pieces", [(CHUNKED, b"5\r\nhel"), (CHUNKED, *chunks(b"hello"), b"zz\r\n")]
)
async def test_a_body_cut_short_is_a_connection_error(
    socket: Path, pieces: tuple[bytes, ...]
) -> None:
    async with serving(socket, *pieces, close=True), open_call(socket, "/x", b"") as upstream:
        with pytest.raises(ConnectionError):
            await upstream.read_all()


async def test_leaving_the_block_closes_the_connection_at_once(socket: Path) -> None:
    async with serving(socket, CHUNKED, *chunks(b"data: 1\n\n")) as server:
        async with open_call(socket, "/x", b"") as upstream:
            await upstream.read()
        await server.left.wait()


async def test_a_cancelled_reader_closes_the_connection(socket: Path) -> None:
    async with serving(socket, CHUNKED) as server:
        with anyio.move_on_after(0.05):
            async with open_call(socket, "/x", b"") as upstream:
                await upstream.read()
        await server.left.wait()


async def test_what_nobody_reads_is_not_kept_without_end(socket: Path) -> None:
    block = b"x" * (8 << 20)
    async with serving(socket, CHUNKED, *chunks(*[block] * 12)) as server:
        async with open_call(socket, "/x", b"") as upstream:
            await server.left.wait()
            with pytest.raises(ConnectionError):
                while await upstream.read():
                    pass


async def test_health_is_a_200(socket: Path) -> None:
    assert not await healthy(socket)
    async with serving(socket, b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"):
        assert not await healthy(socket)
    socket.unlink(missing_ok=True)
    async with serving(socket, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as server:
        assert await healthy(socket)
    assert server.received.startswith(b"GET /health HTTP/1.1\r\n")
