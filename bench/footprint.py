"""What the gateway costs before anybody asks it anything."""

import time

from bench.figures import Row, plain
from bench.lab import Lab

_ROUNDS = 7
_SETTLED = 0.5


def footprint(lab: Lab) -> list[Row]:
    """From its start to its first answer, and the memory it has then."""
    seconds: list[float] = []
    megabytes: list[float] = []
    for _ in range(_ROUNDS):
        with lab.gateway() as gateway:
            seconds.append(gateway.seconds)
            time.sleep(_SETTLED)
            megabytes.append(gateway.process.memory_info().rss / 1e6)
    return [
        plain("gateway start", seconds, "s", target=0.8),
        plain("gateway memory, idle", megabytes, "MB", target=90.0, note="resident set"),
    ]
