"""Load as the measurements ask for it: lanes in, bursts out. The work is done by `bench.client`."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

import psutil

OPENAI = "/v1/chat/completions"
OLLAMA = "/api/chat"
MESSAGES = "/v1/messages"
RESPONSES = "/v1/responses"


class BenchError(Exception):
    """A measurement that could not be taken; the text says why."""


@dataclass(frozen=True, slots=True)
class Lane:
    """Requests to one address, and how many of them are under way at once."""

    address: str
    """`host:port` or `unix:/path`"""
    path: str
    bodies: Sequence[str]
    streams: int = 1
    keep: bool = True
    """Reuse connections. llama-server closes its own after every stream."""
    tokens: int | None = None
    """What every reply must have, if that is known."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One good reply; times are those of time.perf_counter, which processes share."""

    began: float
    """When its request was sent, before a connection was opened for it."""
    first: float
    """When the first byte of its body came."""
    ended: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Burst:
    """What came of one lane. There is at least one reply."""

    replies: tuple[Reply, ...]
    failures: tuple[str, ...]

    @property
    def seconds(self) -> float:
        began = min(reply.began for reply in self.replies)
        return max(reply.ended for reply in self.replies) - began

    @property
    def tokens(self) -> int:
        return sum(reply.tokens for reply in self.replies)

    @property
    def requests_per_s(self) -> float:
        return len(self.replies) / self.seconds

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.seconds

    @property
    def first_ms(self) -> list[float]:
        return [1e3 * (reply.first - reply.began) for reply in self.replies]


def chat(path: str, model: str, question: str, tokens: int) -> str:
    """The body of a streamed chat with a reply of `tokens` tokens, in the dialect of `path`."""
    body = {"model": model, "stream": True}
    if path == RESPONSES:
        return json.dumps(body | {"input": question, "temperature": 0, "max_output_tokens": tokens})
    body |= {"messages": [{"role": "user", "content": question}]}
    if path == OLLAMA:
        return json.dumps(body | {"options": {"temperature": 0, "num_predict": tokens}})
    return json.dumps(body | {"temperature": 0, "max_tokens": tokens})


class Questions:
    """A new question each time, so that no prompt is answered from a cache alone."""

    def __init__(self) -> None:
        self._sent = 0

    def bodies(self, path: str, model: str, count: int, tokens: int) -> list[str]:
        first = self._sent
        self._sent += count
        return [
            chat(path, model, f"question {number}", tokens)
            for number in range(first, first + count)
        ]


class Load:
    """The load generator's process; `failures` are those of every burst."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    def __enter__(self) -> "Load":
        # A session of its own: Ctrl+C is for the bench, which then ends it in order.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.client"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.process = psutil.Process(self._process.pid)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._process:
            self._process.kill()

    def burst(self, lane: Lane, *, limit: float = 60.0) -> Burst:
        [burst] = self.bursts([lane], limit=limit)
        return burst

    def bursts(self, lanes: Sequence[Lane], *, limit: float = 60.0) -> list[Burst]:
        """All lanes at once, for `limit` seconds at most; BenchError if one has no good reply."""
        settings = [
            {
                "address": lane.address,
                "path": lane.path,
                "bodies": lane.bodies,
                "streams": lane.streams,
                "keep": lane.keep,
                "tokens": lane.tokens,
            }
            for lane in lanes
        ]
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"lanes": settings, "limit": limit}).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise BenchError("the load generator ended")
        bursts = [
            Burst(tuple(Reply(*reply) for reply in outcome["replies"]), tuple(outcome["failures"]))
            for outcome in json.loads(line)
        ]
        for burst in bursts:
            self.failures += burst.failures
            if not burst.replies:
                raise BenchError(f"no good reply: {burst.failures[0]}")
        return bursts
