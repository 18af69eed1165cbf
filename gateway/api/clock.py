"""Time as replies show it."""

import time
from abc import ABC, abstractmethod


class Clock(ABC):
    @abstractmethod
    def stamp(self) -> str:
        """The time of day, RFC 3339 in UTC, to the nanosecond."""

    @abstractmethod
    def elapsed(self) -> int:
        """Nanoseconds since the request arrived."""


class RequestClock(Clock):
    """The time of day, and how long ago a request arrived (`began`: time.perf_counter())."""

    __slots__ = ("_began", "_second", "_text")

    def __init__(self, began: float) -> None:
        self._began = began
        self._second = -1
        self._text = ""

    def stamp(self) -> str:
        second, fraction = divmod(time.time_ns(), 10**9)
        # Every token has a stamp, and many fall into the same second: the date is written once.
        if second != self._second:
            self._second = second
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        digits = f"{fraction:09d}".rstrip("0")
        return f"{self._text}.{digits}Z" if digits else f"{self._text}Z"

    def elapsed(self) -> int:
        return int((time.perf_counter() - self._began) * 1e9)
