"""How long a client waits: for the first byte, for a model that is not loaded, for a slot."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

from bench.client import connect, request
from bench.direct import Direct, Flags
from bench.figures import Row, added, plain
from bench.lab import ENDLESS, OTHER, SCRIPTED, Lab, taking_turns
from bench.load import MESSAGES, OLLAMA, OPENAI, RESPONSES, chat

_OTHERS = {"Ollama dialect": OLLAMA, "messages": MESSAGES, "responses": RESPONSES}
_REPLY = 30
_LONG = 2000
"""Tokens: about a second of a scripted model."""
_QUEUED = 0.05
"""Seconds in which a request surely has arrived where it waits for a slot."""


def first_byte(lab: Lab) -> list[Row]:
    """One client, a model that replies in a few milliseconds. The first byte is the body's.

    llama-server sends its head alone, before it has anything to say; the gateway's waits for that.
    """
    with lab.gateway() as gateway:
        lab.load.burst(lab.lane(gateway.address, OPENAI, SCRIPTED, 20, _REPLY))
        with Direct(lab.flags(gateway, SCRIPTED)) as direct:

            def stream_to(address: str, path: str, *, keep: bool) -> Callable[[], float]:
                def turn() -> float:
                    lane = lab.lane(address, path, SCRIPTED, 11, _REPLY, keep=keep)
                    # The first reply opens the connection that the others use.
                    return median(lab.load.burst(lane).first_ms[1:])

                return turn

            alone, kept, fresh, *others = taking_turns(
                25,
                stream_to(direct.address, OPENAI, keep=False),
                stream_to(gateway.address, OPENAI, keep=True),
                stream_to(gateway.address, OPENAI, keep=False),
                *(stream_to(gateway.address, path, keep=True) for path in _OTHERS.values()),
                budget=60.0,
            )
    note = "llama-server on a UNIX socket, which it closes after each stream"
    return [
        added("first byte, added", kept, alone, target=2.0, note=note),
        *(
            added(f"first byte, added, {name}", times, alone, target=2.0)
            for name, times in zip(_OTHERS, others, strict=True)
        ),
        added("first byte, added, new connection each", fresh, alone),
    ]


def cold_start(lab: Lab) -> list[Row]:
    """From a request for a model that is not loaded to its first byte."""
    with lab.gateway() as gateway:
        lab.load.burst(lab.lane(gateway.address, OPENAI, SCRIPTED, 1, _REPLY))
        flags = lab.flags(gateway, SCRIPTED)

        def through() -> float:
            gateway.unload(SCRIPTED)
            lane = lab.lane(gateway.address, OPENAI, SCRIPTED, 1, _REPLY)
            return lab.load.burst(lane).first_ms[0]

        alone, cold = taking_turns(11, lambda: _spawned(lab, flags, SCRIPTED), through)
    note = "direct: from the spawn, with a request as soon as it says that it is ready"
    return [added("cold start, added", cold, alone, target=60.0, note=note)]


def swap(lab: Lab) -> list[Row]:
    """Two models in turn where there is room for one."""
    with lab.gateway(MAX_LOADED_MODELS=1) as gateway:

        def through(name: str) -> float:
            lane = lab.lane(gateway.address, OPENAI, name, 1, _REPLY)
            return lab.load.burst(lane).first_ms[0]

        through(OTHER)
        first = lab.flags(gateway, OTHER)
        through(SCRIPTED)
        second = lab.flags(gateway, SCRIPTED)
        swaps, alone = taking_turns(
            8,
            lambda: (through(OTHER) + through(SCRIPTED)) / 2,
            lambda: (_replaced(lab, first, second) + _replaced(lab, second, first)) / 2,
        )
    note = "direct: from the request to stop one to the first byte of the other"
    return [added("swap A-B-A, added", swaps, alone, note=note)]


def slot_free(lab: Lab) -> list[Row]:
    """From a client's leaving to the first byte for the one that waits for its slot."""
    with lab.gateway(NUM_PARALLEL=1) as gateway:
        lab.load.burst(lab.lane(gateway.address, OPENAI, ENDLESS, 1, _REPLY))
        with Direct(lab.flags(gateway, ENDLESS)) as direct:
            streamed, whole, streamed_alone, whole_alone = taking_turns(
                9,
                lambda: _handed_on(gateway.address, stream=True),
                lambda: _handed_on(gateway.address, stream=False),
                lambda: _handed_on(direct.address, stream=True),
                lambda: _handed_on(direct.address, stream=False),
            )
    name = "slot free after a disconnect"
    return [
        plain(name, streamed, "ms", target=150.0, direct=streamed_alone),
        plain(f"{name}, not streamed", whole, "ms", target=150.0, direct=whole_alone),
    ]


def _spawned(lab: Lab, flags: Flags, name: str) -> float:
    """Milliseconds from the spawn of a child to the first byte of its first reply."""
    with Direct(flags) as direct:
        burst = lab.load.burst(lab.lane(direct.address, OPENAI, name, 1, _REPLY, keep=False))
        return 1e3 * (burst.replies[0].first - direct.began)


def _replaced(lab: Lab, old: Flags, new: Flags) -> float:
    """Milliseconds from the end of one child's work to the first byte of another's."""
    with Direct(old) as direct:
        lab.load.burst(lab.lane(direct.address, OPENAI, "any", 1, _REPLY, keep=False))
        began = time.perf_counter()
    with Direct(new) as direct:
        burst = lab.load.burst(lab.lane(direct.address, OPENAI, "any", 1, _REPLY, keep=False))
        return 1e3 * (burst.replies[0].first - began)


def _handed_on(address: str, *, stream: bool) -> float:
    """Milliseconds from the leaving of the slot's client to the first byte for the next."""
    with _begun(address, "leaves", _LONG, stream=stream) as leaving:
        if stream:
            leaving.recv(1)
        time.sleep(_QUEUED)
        with _begun(address, "waits", 1, stream=True) as waiting:
            time.sleep(_QUEUED)
            began = time.perf_counter()
            leaving.close()
            waiting.recv(1)
            return 1e3 * (time.perf_counter() - began)


@contextmanager
def _begun(address: str, question: str, tokens: int, *, stream: bool) -> Iterator[socket.socket]:
    """A connection on which a request is on its way."""
    body = json.loads(chat(OPENAI, ENDLESS, question, tokens)) | {"stream": stream}
    with connect(address) as link:
        link.sendall(request(OPENAI, json.dumps(body), keep=False))
        yield link
