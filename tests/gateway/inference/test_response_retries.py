"""What is asked of the engine instead of a call that was refused, or that cannot go on."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import orjson
import pytest
from starlette.types import Message

from gateway.api.errors import status_of
from gateway.http.request_log import Facts
from gateway.inference.encoder import Translation
from gateway.inference.options import merge
from gateway.inference.response import Answer, Retry, Work
from gateway.inference.types import Call, Restart
from gateway.llama.events import CompletionReader
from runners import Lease, Refused
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


class Asking:
    """One piece of work: the first call, what is written of the replies, and why another came."""

    def __init__(self, gateway: Gateway, first: Call, *, restart: bool = False) -> None:
        self.gateway, self.first = gateway, first
        self.encoder = Translation(generate())
        self.encoder.reader = CompletionReader(restart=restart)
        self.facts = Facts("1", 0.0)
        self.reasons: list[Refused | Restart] = []
        self.sent: list[Message] = []

    async def prepare(self, lease: Lease) -> Call:
        return self.first

    async def shorter(self, lease: Lease, reason: Refused | Restart) -> Call:
        self.reasons.append(reason)
        self.facts.cut = f"{1999 * len(self.reasons)} tokens"
        self.encoder.reader = CompletionReader()
        return completion("a ")

    async def nothing(self, lease: Lease, reason: Refused | Restart) -> None:
        self.reasons.append(reason)

    async def done(self, retry: Retry | None) -> list[dict[str, Any]]:
        """The lines that the client gets."""
        services = self.gateway.services
        options, _ = merge({}, {})
        spec = services.spec(await services.model("m"), options)
        work = Work(spec, None, self.prepare, self.encoder, self.facts, retry)

        async def send(message: Message) -> None:
            self.sent.append(message)

        async def receive() -> Message:
            await anyio.sleep_forever()
            raise AssertionError

        await Answer(services.scheduler, work, status_of)({"type": "http"}, receive, send)
        written = b"".join(message.get("body", b"") for message in self.sent)
        return [orjson.loads(line) for line in written.splitlines()]


async def test_a_call_that_is_not_refused_is_all_that_is_asked(gateway: Gateway) -> None:
    asking = Asking(gateway, completion("a "))
    *lines, last = await asking.done(asking.shorter)
    assert [line["response"] for line in lines if line["response"]] == SAID
    assert (last["done_reason"], asking.reasons) == ("stop", [])
    assert [name for name, _ in asking.sent[0]["headers"]] == [b"content-type"]


async def test_a_call_that_is_refused_is_replaced_by_another(gateway: Gateway) -> None:
    asking = Asking(gateway, TOO_LONG)
    *lines, last = await asking.done(asking.shorter)
    assert [line["response"] for line in lines if line["response"]] == SAID
    assert (last["prompt_eval_count"], last["eval_count"]) == (1, 6)
    [reason] = asking.reasons
    assert isinstance(reason, Refused)
    assert (reason.status, reason.kind) == (400, "exceed_context_size_error")
    assert (b"x-paddock-truncated", b"1999 tokens") in asking.sent[0]["headers"]
    assert gateway.leases() == 0


@pytest.mark.parametrize("asked", [True, False])
async def test_a_refusal_without_another_call_is_the_answer(gateway: Gateway, asked: bool) -> None:
    asking = Asking(gateway, TOO_LONG)
    with pytest.raises(Refused, match="exceeds the available context size"):
        await asking.done(asking.nothing if asked else None)
    assert (len(asking.reasons), asking.sent) == (int(asked), [])
    assert gateway.leases() == 0


async def test_a_reply_that_cannot_go_on_goes_on_with_another_call(gateway: Gateway) -> None:
    """This reader gives up at the first text, so nothing of the first reply is said."""
    asking = Asking(gateway, completion("a "), restart=True)
    *lines, last = await asking.done(asking.shorter)
    [reason] = asking.reasons
    assert isinstance(reason, Restart)
    assert [line["response"] for line in lines if line["response"]] == SAID
    assert last["done_reason"] == "stop"
    assert (await gateway.engine())["paths"] == ["/completion"] * 2
