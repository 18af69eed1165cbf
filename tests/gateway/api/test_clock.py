"""The time of a request."""

import re
import time
from datetime import UTC, datetime

from gateway.api.clock import RequestClock

STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{0,8}[1-9]))?Z")


def nanoseconds(stamp: str) -> int:
    match = STAMP.fullmatch(stamp)
    assert match, stamp
    moment = datetime.fromisoformat(match[1]).replace(tzinfo=UTC)
    return int(moment.timestamp()) * 10**9 + int((match[2] or "0").ljust(9, "0"))


def test_a_stamp_is_the_time_of_day_to_the_nanosecond_without_zeros_at_its_end() -> None:
    clock = RequestClock(0.0)
    times = [time.time_ns()]
    for _ in range(2000):
        times += [nanoseconds(clock.stamp()), time.time_ns()]
    assert times == sorted(times)


def test_elapsed_counts_nanoseconds_since_the_request_began() -> None:
    before = time.perf_counter()
    elapsed = RequestClock(before - 2.5).elapsed()
    spent = (time.perf_counter() - before) * 1e9
    assert 2.5e9 <= elapsed <= 2.5e9 + spent + 1
