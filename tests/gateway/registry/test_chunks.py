"""Sizes of parts, and their state files."""

import pytest

from gateway.registry.chunks import Chunk, decode, encode, joined, plan, total

MB = 1_000_000


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        (0, []),
        (1, [1]),
        (100 * MB, [100 * MB]),
        (100 * MB + 1, [100 * MB, 1]),
        (1600 * MB, [100 * MB] * 16),
        (3200 * MB + 5, [200 * MB] * 16 + [5]),
        (17_000 * MB, [1000 * MB] * 17),
    ],
)
def test_a_blob_is_cut_in_sixteen_within_limits(size: int, sizes: list[int]) -> None:
    parts = plan(size)
    assert [part.size for part in parts] == sizes
    assert [part.number for part in parts] == list(range(len(sizes)))
    assert [part.offset for part in parts] == [sum(sizes[:n]) for n in range(len(sizes))]
    assert total(parts) == size


def test_a_state_file_is_ollamas() -> None:
    data = b'{"N":0,"Offset":0,"Size":1600000,"Completed":0}\n'
    assert encode(Chunk(0, 0, 1600000)) == data
    assert decode(data) == Chunk(0, 0, 1600000)
    assert decode(b'{"N":3,"Offset":7,"Size":9,"Completed":4}') == Chunk(3, 7, 9, 4)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"N":0,"Offset":0,"Size":1,"Completed":2}',
        b'{"N":0,"Offset":-1,"Size":1,"Completed":0}',
        b'{"N":0,"Offset":0,"Size":"1","Completed":0}',
        b'{"N":true,"Offset":0,"Size":1,"Completed":0}',
    ],
)
def test_what_is_no_state_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(data)


def test_parts_are_joined_in_order() -> None:
    first, second = Chunk(0, 0, 5, 5), Chunk(1, 5, 3)
    assert joined([second, first]) == (first, second)


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [Chunk(1, 0, 5)],
        [Chunk(0, 1, 5)],
        [Chunk(0, 0, 5), Chunk(1, 6, 5)],
        [Chunk(0, 0, 5), Chunk(1, 4, 5)],
        [Chunk(0, 0, 5), Chunk(2, 5, 5)],
        [Chunk(0, 0, 5), Chunk(0, 0, 5)],
    ],
)
def test_parts_that_do_not_fit_together_are_none(parts: list[Chunk]) -> None:
    assert joined(parts) is None
