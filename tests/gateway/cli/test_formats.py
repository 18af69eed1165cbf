"""Numbers and times as texts."""

import pytest

from gateway.cli.formats import metadata, moment, processor, relative, scalar, size

NOW = 1_700_000_000.0
HOUR, DAY = 3600.0, 86400.0


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 KB"),
        (1024, "1.0 KB"),
        (1500, "1.5 KB"),
        (9_999, "10.0 KB"),
        (999_999, "999 KB"),
        (1_000_000, "1 MB"),
        (2_000_000, "2 MB"),
        (1_500_000_000, "1.5 GB"),
        (25_900_000_000, "25 GB"),
        (999_999_999_999, "999 GB"),
        (1_999_999_999_999, "2.0 TB"),
        (12_000_000_000_000_000, "12000 TB"),
    ],
)
def test_size(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("ahead", "text"),
    [
        (0.8, "Less than a second from now"),
        (0, "Less than a second ago"),
        (-1.9, "1 second ago"),
        (-59.9, "59 seconds ago"),
        (-60, "About a minute ago"),
        (-119, "About a minute ago"),
        (59.4 * 60, "59 minutes from now"),
        (-60 * 60, "About an hour ago"),
        (-89 * 60, "About an hour ago"),
        (-90 * 60, "2 hours ago"),
        (-47 * HOUR, "47 hours ago"),
        (48 * HOUR, "2 days from now"),
        (-48 * HOUR, "2 days ago"),
        (-13 * DAY, "13 days ago"),
        (-14 * DAY, "2 weeks ago"),
        (-8 * 7 * DAY, "8 weeks ago"),
        (-60 * DAY, "2 months ago"),
        (-23 * 30 * DAY, "23 months ago"),
        (-730 * DAY, "2 years ago"),
        (19 * 365 * DAY, "19 years from now"),
        (200 * 365 * DAY, "Forever"),
        (-200 * 365 * DAY, "200 years ago"),
    ],
)
def test_relative(ahead: float, text: str) -> None:
    assert relative(NOW + ahead, NOW, "Never") == text


def test_no_time_at_all_is_the_fallback() -> None:
    assert relative(None, NOW, "Never") == "Never"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2023-11-14T22:13:20Z", NOW),
        ("2023-11-14T22:13:20.123456789Z", NOW + 0.123456),
        ("2023-11-15T00:13:20.5+02:00", NOW + 0.5),
        ("2318-12-03T10:00:00Z", 11_010_852_000.0),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        ("soon", None),
    ],
)
def test_moment(text: str, seconds: float | None) -> None:
    assert moment(text) == seconds


@pytest.mark.parametrize(
    ("total", "vram", "text"),
    [
        (100, 0, "100% CPU"),
        (0, 0, "100% CPU"),
        (100, 100, "100% GPU"),
        (100, 52, "48%/52% CPU/GPU"),
        (1000, 995, "1%/99% CPU/GPU"),
        (1000, 999, "0%/100% CPU/GPU"),
        (100, 101, "Unknown"),
    ],
)
def test_processor(total: int, vram: int, text: str) -> None:
    assert processor(total, vram) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (1048576, "1048576"),
        (10000.0, "10000"),
        (1e-05, "1e-05"),
        (0.5, "0.5"),
        ("llama", "llama"),
        (None, "null"),
    ],
)
def test_scalar(value: object, text: str) -> None:
    assert scalar(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([], "[]"),
        ([1, 2], "[1 2]"),
        (["<unk>", "<s>", "</s>", "a"], "[<unk> ...+3 more]"),
        (["a long token", "b"], "[a long token ...+1 more]"),
        ([1, 2, 3, 4, 5], "[1 2 3 ...+2 more]"),
        ({"a": 1}, "object"),
        (7, "7"),
    ],
)
def test_metadata(value: object, text: str) -> None:
    assert metadata(value) == text
