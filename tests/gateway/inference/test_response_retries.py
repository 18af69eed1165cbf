"""What is asked of the engine instead of a call that was refused, or that cannot go on."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import anyio
import orjson
import pytest
from starlette.types import Message

from gateway.http.request_log import RequestRecord
from gateway.inference.encoder import ReplyEncoder
from gateway.inference.options import merge
from gateway.inference.response import GenerationResponse, Recover, Work
from gateway.inference.types import Attempt, PromptState
from gateway.llama.errors import ContextOverflow, EngineError
from gateway.llama.events import CompletionEventReader
from gateway.llama.requests import Call
from gateway.llama.sse import RestartNeeded
from runners import Lease
from tests.fakes.server import Gateway, open_gateway
from tests.fakes.writing import generate

pytestmark = pytest.mark.anyio

SAID = ["Hello ", "from ", "the ", "fake ", "engine."]


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with open_gateway() as gateway:
        gateway.add()
        yield gateway


def completion(prompt: str) -> Call:
    return Call("/completion", orjson.dumps({"prompt": prompt, "stream": True}))


TOO_LONG = completion("a " * 2000)


class Reply:
    """One piece of work: the first call, what is written of the replies, and why another came."""

    def __init__(self, gateway: Gateway, first: Call, *, stop_at_text: bool = False) -> None:
        self.gateway = gateway
        self.first = Attempt(
            first, CompletionEventReader(stop_at_text=stop_at_text), PromptState([])
        )
        self.record = RequestRecord("1", 0.0)
        self.failures: list[EngineError | RestartNeeded] = []
        self.sent: list[Message] = []

    async def prepare(self, lease: Lease) -> Attempt:
        return self.first

    async def shorter(
        self, lease: Lease, attempt: Attempt, failure: EngineError | RestartNeeded
    ) -> Attempt:
        self.failures.append(failure)
        state = replace(attempt.state, dropped_tokens=attempt.state.dropped_tokens + 1999)
        return Attempt(completion("a "), CompletionEventReader(), state)

    async def nothing(
        self, lease: Lease, attempt: Attempt, failure: EngineError | RestartNeeded
    ) -> None:
        self.failures.append(failure)

    async def done(self, recover: Recover | None) -> list[dict[str, Any]]:
        """The lines that the client gets."""
        models = self.gateway.services.models
        options, _ = merge({}, {})
        spec, _ = models.spec(await models.find("m"), options)
        encoder = ReplyEncoder(generate())
        work = Work(spec, None, self.prepare, encoder, self.record, recover)

        async def send(message: Message) -> None:
            self.sent.append(message)

        async def receive() -> Message:
            await anyio.sleep_forever()
            raise AssertionError

        await GenerationResponse(models.scheduler, work)({"type": "http"}, receive, send)
        written = b"".join(message.get("body", b"") for message in self.sent)
        return [orjson.loads(line) for line in written.splitlines()]


async def test_a_call_that_is_not_refused_is_all_that_is_asked(gateway: Gateway) -> None:
    reply = Reply(gateway, completion("a "))
    *lines, last = await reply.done(reply.shorter)
    assert [line["response"] for line in lines if line["response"]] == SAID
    assert (last["done_reason"], reply.failures) == ("stop", [])
    assert [name for name, _ in reply.sent[0]["headers"]] == [b"content-type"]


async def test_a_call_that_is_refused_is_replaced_by_another(gateway: Gateway) -> None:
    reply = Reply(gateway, TOO_LONG)
    *lines, last = await reply.done(reply.shorter)
    assert [line["response"] for line in lines if line["response"]] == SAID
    assert (last["prompt_eval_count"], last["eval_count"]) == (1, 6)
    [reason] = reply.failures
    assert isinstance(reason, ContextOverflow)
    assert (reason.status, reason.limit) == (400, 1024)
    assert (b"x-paddock-truncated", b"1999 tokens") in reply.sent[0]["headers"]
    assert gateway.leases() == 0


@pytest.mark.parametrize("requested", [True, False])
async def test_a_refusal_without_another_call_is_the_answer(
    gateway: Gateway, requested: bool
) -> None:
    reply = Reply(gateway, TOO_LONG)
    with pytest.raises(ContextOverflow, match="exceeds the available context size"):
        await reply.done(reply.nothing if requested else None)
    assert (len(reply.failures), reply.sent) == (int(requested), [])
    assert gateway.leases() == 0


async def test_a_reply_that_cannot_go_on_goes_on_with_another_call(gateway: Gateway) -> None:
    """This reader gives up at the first text, so nothing of the first reply is said."""
    reply = Reply(gateway, completion("a "), stop_at_text=True)
    *lines, last = await reply.done(reply.shorter)
    [reason] = reply.failures
    assert isinstance(reason, RestartNeeded)
    assert [line["response"] for line in lines if line["response"]] == SAID
    assert last["done_reason"] == "stop"
    assert (await gateway.engine())["paths"] == ["/completion"] * 2
