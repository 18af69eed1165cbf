"""Lines of progress."""

from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from gateway.errors import Broken
from gateway.registry.reporting import line, with_progress

pytestmark = pytest.mark.anyio

DIGEST = "sha256:0123456789abcdef"


@pytest.mark.parametrize(
    ("total", "completed", "counts"),
    [
        (5, 2, {"total": 5, "completed": 2}),
        (5, 0, {"total": 5}),
        (0, 0, {}),
    ],
)
def test_counts_of_zero_are_left_out(total: int, completed: int, counts: dict[str, int]) -> None:
    assert line("pulling", DIGEST, total, completed) == {
        "status": "pulling 0123456789ab",
        "digest": DIGEST,
        **counts,
    }


class Work:
    """Counts up when it is let, and keeps what is reported."""

    def __init__(self) -> None:
        self.count = 0
        self.reports: list[int] = []
        self.heard = anyio.Event()

    def look(self) -> Mapping[str, Any]:
        return {"count": self.count}

    async def report(self, seen: Mapping[str, Any]) -> None:
        self.reports.append(seen["count"])
        self.heard.set()


async def test_what_is_over_at_once_is_reported_once() -> None:
    work = Work()

    async def run() -> None:
        work.count = 3

    await with_progress(run, work.look, work.report)
    assert work.reports == [3]


async def test_every_change_that_lasts_is_reported_and_the_end_always() -> None:
    work = Work()

    async def run() -> None:
        for count in (1, 2):
            work.count, work.heard = count, anyio.Event()
            with anyio.fail_after(10):
                await work.heard.wait()

    await with_progress(run, work.look, work.report)
    assert work.reports == [1, 2, 2]


@pytest.mark.parametrize("error", [Broken("no"), OSError(28, "full")])
async def test_an_error_comes_as_it_is(error: Exception) -> None:
    work = Work()

    async def run() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        await with_progress(run, work.look, work.report)
    assert caught.value is error
    assert work.reports == []
