"""Flags taken over from one child for another."""

import pytest

from bench.direct import Flags
from bench.load import BenchError

FLAGS = Flags(("llama-server", "--host", "a.sock", "--fit", "off"), {"A": "1", "B": "2"})


def test_an_option_is_replaced_or_added() -> None:
    assert FLAGS.with_option("--host", "b").command[1:3] == ("--host", "b")
    assert FLAGS.with_option("--threads", "1").command == (*FLAGS.command, "--threads", "1")
    assert FLAGS.with_option("--host", "b").environment == FLAGS.environment


def test_variables_are_set_and_removed() -> None:
    changed = FLAGS.with_environment({"A": None, "B": "3", "C": "4"})
    assert changed.environment == {"B": "3", "C": "4"}
    assert changed.command == FLAGS.command


def test_an_option_is_read_or_missed() -> None:
    assert FLAGS.option("--host") == "a.sock"
    with pytest.raises(BenchError, match="no --model"):
        FLAGS.option("--model")
