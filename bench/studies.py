"""Studies behind two decisions: how long idle threads spin, and that uptime costs nothing."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from bench.direct import Direct, Flags
from bench.figures import grid, text
from bench.gateway import busy
from bench.lab import BIG, SCRIPTED, SECOND, Lab
from bench.load import OPENAI

_REPLY = 32
_ROUNDS = 3
_FIFTH, _CLIENTS, _SHORT = 1000, 4, 8


@dataclass(frozen=True, slots=True)
class Policy:
    """How the threads of a child wait for each other."""

    name: str
    environment: Mapping[str, str | None]
    threads: int | None = None

    def of(self, flags: Flags) -> Flags:
        bare = {"GOMP_SPINCOUNT": None, "KMP_BLOCKTIME": None, "OMP_WAIT_POLICY": None}
        changed = flags.with_environment({**bare, **self.environment})
        return changed.with_option("--threads", str(self.threads)) if self.threads else changed


POLICIES = (
    Policy("as built", {}),
    *(Policy(f"spin {count}", {"GOMP_SPINCOUNT": str(count)}) for count in (100, 300, 1000)),
    Policy("passive", {"OMP_WAIT_POLICY": "passive"}),
    Policy("as built, 1 thread", {}, threads=1),
)


def spin(lab: Lab) -> str:
    """Tokens/s of one child alone and of two at once, by how their threads wait."""
    with lab.gateway() as gateway:
        for name in (BIG, SECOND):
            lab.load.burst(lab.lane(gateway.address, OPENAI, name, 1, _REPLY))
        pair = [lab.flags(gateway, name) for name in (BIG, SECOND)]
    rates: dict[str, list[tuple[float, float, float]]] = {policy.name: [] for policy in POLICIES}
    for number in range(_ROUNDS):
        for policy in POLICIES if number % 2 == 0 else reversed(POLICIES):
            # A policy under which two children stand still has shown it once and for all.
            if not any(both < alone / 4 for alone, _, both in rates[policy.name]):
                rates[policy.name].append(_rates(lab, [policy.of(flags) for flags in pair]))
    cells = [("threads wait", "1 stream", "8 streams", "two at once", "over one alone")]
    for name, samples in rates.items():
        alone, full, both = (median(column) for column in zip(*samples, strict=True))
        cells.append((name, text(alone), text(full), text(both), text(both / alone)))
    return "tokens/s, llama-server alone, 0.2 B parameters\n" + grid(cells)


def _rates(lab: Lab, pair: list[Flags]) -> tuple[float, float, float]:
    """Alone with one stream, alone with eight, and both children with a stream each."""
    with ExitStack() as stack:
        first, second = (stack.enter_context(Direct(flags)) for flags in pair)

        def rate(requests: int, streams: int, *children: Direct) -> float:
            lanes = [
                lab.lane(child.address, OPENAI, "any", requests, _REPLY, streams, keep=False)
                for child in children
            ]
            bursts = lab.load.bursts(lanes, limit=120.0)
            began = min(reply.began for burst in bursts for reply in burst.replies)
            ended = max(reply.ended for burst in bursts for reply in burst.replies)
            return sum(burst.tokens for burst in bursts) / (ended - began)

        for child in (first, second):
            rate(1, 1, child)
        return rate(6, 1, first), rate(16, 8, first), rate(2, 1, first, second)


def flat(lab: Lab) -> str:
    """5,000 short requests, a fifth at a time: rate, and processor time of a request."""
    cells: list[tuple[str, ...]] = [
        ("requests", "requests/s", "gateway ms", "llama-server ms", "gateway MB")
    ]
    with lab.gateway() as gateway:
        lab.load.burst(lab.lane(gateway.address, OPENAI, SCRIPTED, _CLIENTS, _SHORT, _CLIENTS))
        [runner] = gateway.runners()
        for fifth in range(5):
            before = gateway.cpu(), busy(runner)
            lane = lab.lane(gateway.address, OPENAI, SCRIPTED, _FIFTH, _SHORT, _CLIENTS)
            burst = lab.load.burst(lane, limit=120.0)
            after = gateway.cpu(), busy(runner)
            spent = [1e3 * (b - a) / _FIFTH for a, b in zip(before, after, strict=True)]
            memory = gateway.process.memory_info().rss / 1e6
            span = f"{fifth * _FIFTH + 1} to {(fifth + 1) * _FIFTH}"
            cells.append((span, text(burst.requests_per_s), *map(text, spent), text(memory)))
    return f"{_CLIENTS} clients, {_SHORT} tokens a reply, scripted model\n" + grid(cells)
