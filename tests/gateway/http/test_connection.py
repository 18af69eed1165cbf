"""The states of a connection. What they mean to clients is in `test_listener`."""

import anyio
import pytest

from gateway.http.connection import (
    CONNECTION_STEPS,
    ConnectionEvent,
    ConnectionState,
    ReceiveQueue,
)

IDLE, READING, RESPONDING, DRAINING, CLOSED = ConnectionState
HEAD, BODY_END, RESPONSE_END, CLOSE = ConnectionEvent


@pytest.mark.parametrize(
    ("events", "states"),
    [
        # A request that is read whole, and another after it.
        (
            [HEAD, BODY_END, RESPONSE_END, HEAD, CLOSE],
            [READING, RESPONDING, IDLE, READING, CLOSED],
        ),
        # A reply that does not wait for the body.
        ([HEAD, RESPONSE_END, BODY_END], [READING, DRAINING, IDLE]),
        # A client that leaves before its reply is complete.
        ([HEAD, BODY_END, CLOSE, RESPONSE_END], [READING, RESPONDING, CLOSED, CLOSED]),
    ],
)
def test_the_steps_of_a_connection(
    events: list[ConnectionEvent], states: list[ConnectionState]
) -> None:
    state, seen = IDLE, []
    for event in events:
        state = CONNECTION_STEPS[state, event]
        seen.append(state)
    assert seen == states


def test_no_other_step_is_legal() -> None:
    legal = {
        IDLE: {HEAD, CLOSE},
        READING: {BODY_END, RESPONSE_END, CLOSE},
        RESPONDING: {RESPONSE_END, CLOSE},
        DRAINING: {BODY_END, CLOSE},
        CLOSED: {RESPONSE_END, CLOSE},
    }
    assert {
        state: {event for event in ConnectionEvent if (state, event) in CONNECTION_STEPS}
        for state in ConnectionState
    } == legal


@pytest.mark.anyio
async def test_a_queue_makes_whoever_fills_it_wait() -> None:
    queue, brought = ReceiveQueue(), 0

    async def bring() -> None:
        nonlocal brought
        for number in range(9):
            await queue.put({"type": "http.request", "body": bytes([number]), "more_body": True})
            brought += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bring)
        await anyio.wait_all_tasks_blocked()
        assert brought == 4
        assert (await queue.get()).get("body") == b"\0"
        await anyio.wait_all_tasks_blocked()
        assert brought == 5
        queue.close()
    assert brought == 9
