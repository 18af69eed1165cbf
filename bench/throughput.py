"""How much goes through: requests and tokens a second, and the processor time of a token."""

from collections.abc import Callable
from functools import partial

from bench.direct import Direct
from bench.figures import Row, plain, ratio
from bench.lab import BIG, SCRIPTED, SECOND, SLOTS, Lab, taking_turns
from bench.load import MESSAGES, OLLAMA, OPENAI, RESPONSES, Burst
from tests.fakes.engine import fake_engine

_DIALECTS = {
    "OpenAI": (OPENAI, 75.0),
    "Ollama": (OLLAMA, 90.0),
    "messages": (MESSAGES, None),
    "responses": (RESPONSES, None),
}
"""Paths, and how many microseconds a token may cost; the last two have no target."""
_REPLY = 32
_LEVELS = {1: (3, 20), 8: (24, 8), 32: (48, 6)}
"""Streams: requests of a burst, and rounds."""
_STREAMS, _TOKENS, _INTERVAL = 32, 100, 0.01
"""Of the stand-in: 3,200 tokens a second."""


def throughput(lab: Lab) -> list[Row]:
    """The gateway and a child with the same flags take turns, a burst each."""
    with lab.gateway() as gateway:
        _bursts(lab, gateway.address, SLOTS, SLOTS, keep=True)()
        with Direct(lab.flags(gateway, BIG)) as direct:
            _bursts(lab, direct.address, SLOTS, SLOTS, keep=False)()
            rows: list[Row] = []
            for streams, (requests, rounds) in _LEVELS.items():
                through, alone = taking_turns(
                    rounds,
                    _bursts(lab, gateway.address, requests, streams, keep=True),
                    _bursts(lab, direct.address, requests, streams, keep=False),
                )
                rows.append(_compared(streams, through, alone))
    return rows


def _bursts(
    lab: Lab, address: str, requests: int, streams: int, *, keep: bool
) -> Callable[[], Burst]:
    return lambda: lab.load.burst(
        lab.lane(address, OPENAI, BIG, requests, _REPLY, streams, keep=keep)
    )


def _compared(streams: int, through: list[Burst], alone: list[Burst]) -> Row:
    """One ratio for both rates, since every reply is as long as the others."""
    note = f"0.2 B parameters in Q8_0, {SLOTS} slots, {_REPLY} tokens a reply; columns: tokens/s"
    return ratio(
        f"requests/s and tokens/s, {streams} streams",
        [burst.tokens_per_s for burst in through],
        [burst.tokens_per_s for burst in alone],
        target=0.97,
        note=note if streams == 1 else "",
    )


def token_cost(lab: Lab) -> list[Row]:
    """Processor time of the gateway alone, while a stand-in streams at a fixed pace."""
    engine = fake_engine(
        lab.folder / "stand-in", "--tokens", str(_TOKENS), "--interval", str(_INTERVAL)
    )
    with lab.gateway(str(engine), NUM_PARALLEL=_STREAMS) as gateway:

        def cost(path: str) -> float:
            """Microseconds a token, the requests' own cost included."""
            lane = lab.lane(gateway.address, path, SCRIPTED, 3 * _STREAMS, _TOKENS, _STREAMS)
            before = gateway.cpu()
            burst = lab.load.burst(lane)
            return 1e6 * (gateway.cpu() - before) / burst.tokens

        cost(OPENAI)
        costs = taking_turns(5, *(partial(cost, path) for path, _ in _DIALECTS.values()))
    note = f"{_STREAMS} streams, {_TOKENS} tokens a reply at {1 / _INTERVAL:.0f} tokens/s each"
    return [
        plain(f"gateway CPU per token, {name}", times, "us", target=target, note=note)
        for (name, (_, target)), times in zip(_DIALECTS.items(), costs, strict=True)
    ]


def two_models(lab: Lab) -> list[Row]:
    """Total tokens/s of two models that generate at once, over those of one alone."""
    with lab.gateway() as gateway:

        def rate(*names: str) -> float:
            lanes = [lab.lane(gateway.address, OPENAI, name, 6, _REPLY) for name in names]
            bursts = lab.load.bursts(lanes)
            began = min(reply.began for burst in bursts for reply in burst.replies)
            ended = max(reply.ended for burst in bursts for reply in burst.replies)
            return sum(burst.tokens for burst in bursts) / (ended - began)

        rate(BIG, SECOND)
        both, first, second = taking_turns(
            6, lambda: rate(BIG, SECOND), lambda: rate(BIG), lambda: rate(SECOND)
        )
    alone = [(one + other) / 2 for one, other in zip(first, second, strict=True)]
    note = "tokens/s in sum, all through the gateway: `gateway` is two, `direct` is one"
    return [ratio("two models at once over one alone", both, alone, target=0.85, note=note)]
