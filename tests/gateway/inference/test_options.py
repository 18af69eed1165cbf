"""The table of options, their merging, and what goes to the engine with each prompt."""

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Invalid
from gateway.inference.options import TABLE, Options, merge, sampling

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())
WRONG: dict[tuple[str, str], list[Any]] = {
    ("top_k", "integer"): [[1], "1", True, {}, math.nan, math.inf],
    ("num_ctx", "integer"): [2**63, -(2**63) - 1, 1e300, 10**400],
    ("main_gpu", "integer"): ["x", False],
    ("temperature", "float32"): ["hot", True, [], {}, math.nan],
    ("min_p", "float32"): [math.inf, -math.inf, 1e39, 10**400],
    ("use_mmap", "boolean"): ["yes", 1, 0.0, []],
    ("stop", "array"): [1, True, {}],
}
PYTHON_TYPES = {"integer": int, "float32": float, "boolean": bool, "array": tuple}


def test_the_table_is_complete() -> None:
    assert {
        name: (option.type, option.default, option.scope) for name, option in TABLE.items()
    } == {
        "num_ctx": ("integer", None, "load"),
        "num_batch": ("integer", 512, "load"),
        "num_gpu": ("integer", -1, "load"),
        "main_gpu": ("integer", None, "load"),
        "use_mmap": ("boolean", None, "load"),
        "num_thread": ("integer", 0, "load"),
        "draft_num_predict": ("integer", 4, "load"),
        "num_keep": ("integer", 4, "request"),
        "seed": ("integer", -1, "request"),
        "num_predict": ("integer", -1, "request"),
        "top_k": ("integer", 40, "request"),
        "top_p": ("float32", 0.9, "request"),
        "min_p": ("float32", 0.0, "request"),
        "typical_p": ("float32", 1.0, "request"),
        "repeat_last_n": ("integer", 64, "request"),
        "temperature": ("float32", 0.8, "request"),
        "repeat_penalty": ("float32", 1.0, "request"),
        "presence_penalty": ("float32", 0.0, "request"),
        "frequency_penalty": ("float32", 0.0, "request"),
        "stop": ("array", (), "request"),
    }


def test_nothing_given_means_the_defaults() -> None:
    assert merge({}, {}) == (Options(), ())
    assert Options().given == frozenset()


def test_the_request_lies_over_the_model_and_the_model_over_the_defaults() -> None:
    options, unknown = merge(
        {"temperature": 0.2, "top_k": 10, "stop": ["a"]}, {"temperature": 1, "stop": []}
    )
    assert options == Options(
        temperature=1.0, top_k=10, stop=(), given=frozenset({"temperature", "top_k", "stop"})
    )
    assert unknown == ()


def test_a_value_equal_to_its_default_still_counts_as_given() -> None:
    options, _ = merge({}, {"num_batch": 512})
    assert options.given == {"num_batch"}


def test_nulls_are_skipped_and_unknown_names_reported_once() -> None:
    options, unknown = merge(
        {"mirostat": 1, "top_k": 10}, {"top_k": None, "Temperature": "x", "mirostat": None}
    )
    assert options == Options(top_k=10, given=frozenset({"top_k"}))
    assert unknown == ("mirostat", "Temperature")


@pytest.mark.parametrize(
    ("value", "number"),
    [(4096, 4096), (4096.9, 4096), (-1.9, -1), (0, 0), (1e18, 10**18), (-(2**63), -(2**63))],
)
def test_integers_are_cut_toward_zero(value: float, number: int) -> None:
    options, _ = merge({}, {"num_ctx": value})
    assert options.num_ctx == number
    assert type(options.num_ctx) is int


@pytest.mark.parametrize(("name", "wanted"), WRONG)
def test_a_wrong_type_is_refused_wherever_it_comes_from(name: str, wanted: str) -> None:
    for value in WRONG[name, wanted]:
        for parameters, options in (({name: value}, {}), ({}, {name: value})):
            with pytest.raises(Invalid) as caught:
                merge(parameters, options)
            assert caught.value.message == f'option "{name}" must be of type {wanted}'


@pytest.mark.parametrize("value", [[1], ["a", None], [["a"]]])
def test_a_stop_list_holds_only_strings(value: Any) -> None:
    with pytest.raises(Invalid) as caught:
        merge({}, {"stop": value})
    assert caught.value.message == 'option "stop" must be of an array of strings'


@pytest.mark.parametrize("value", [True, False])
def test_a_switch_is_told_apart_from_unset(value: bool) -> None:
    assert merge({}, {"use_mmap": value})[0].use_mmap is value


def test_one_stop_string_stands_for_a_list_of_it() -> None:
    assert merge({}, {"stop": "word"})[0].stop == ("word",)


@given(st.dictionaries(st.sampled_from([*TABLE, "unknown"]), SCALARS))
def test_merged_options_have_their_types(values: dict[str, Any]) -> None:
    try:
        options, unknown = merge({}, values)
    except Invalid:
        return
    assert set(unknown) == values.keys() & {"unknown"}
    for name in options.given:
        assert type(getattr(options, name)) is PYTHON_TYPES[TABLE[name].type]
    for name in TABLE.keys() - options.given:
        assert getattr(options, name) == TABLE[name].default


@given(st.dictionaries(st.sampled_from(list(TABLE)), st.integers(-(2**63), 2**63 - 1)))
def test_what_was_merged_merges_to_itself(values: dict[str, Any]) -> None:
    numeric = {
        name: value for name, value in values.items() if TABLE[name].type in ("integer", "float32")
    }
    options, _ = merge({}, numeric)
    assert merge({name: getattr(options, name) for name in options.given}, {})[0] == options


def test_options_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Options().top_k = 1  # type: ignore[misc]


def test_every_prompt_carries_the_whole_set() -> None:
    assert sampling(Options(), 4096) == {
        "n_predict": 40960,
        "n_keep": 4,
        "seed": -1,
        "temperature": 0.8,
        "top_k": 40,
        "top_p": 0.9,
        "min_p": 0.0,
        "typical_p": 1.0,
        "repeat_last_n": 64,
        "repeat_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "stop": [],
    }


def test_given_values_go_through() -> None:
    options = Options(seed=7, temperature=0.0, top_k=1, num_predict=12, min_p=0.1, num_keep=0)
    sent = sampling(options, 100)
    assert {name: sent[name] for name in ("seed", "temperature", "top_k", "n_predict")} == {
        "seed": 7,
        "temperature": 0.0,
        "top_k": 1,
        "n_predict": 12,
    }
    assert (sent["min_p"], sent["n_keep"]) == (0.1, 0)


@pytest.mark.parametrize(
    ("num_predict", "sent"), [(-1, 1000), (-2, 1000), (0, 0), (1, 1), (1000, 1000), (1001, 1000)]
)
def test_a_reply_is_bounded_by_ten_contexts(num_predict: int, sent: int) -> None:
    assert sampling(Options(num_predict=num_predict), 100)["n_predict"] == sent


@pytest.mark.parametrize(
    ("repeat_last_n", "sent"), [(-1, 100), (-7, 100), (0, 0), (64, 64), (100, 100), (2**40, 100)]
)
def test_repetition_is_watched_over_the_context_at_most(repeat_last_n: int, sent: int) -> None:
    assert sampling(Options(repeat_last_n=repeat_last_n), 100)["repeat_last_n"] == sent


@pytest.mark.parametrize(("num_keep", "sent"), [(-5, -1), (-1, -1), (0, 0), (24, 24)])
def test_what_is_kept_is_never_below_minus_one(num_keep: int, sent: int) -> None:
    assert sampling(Options(num_keep=num_keep), 100)["n_keep"] == sent


def test_empty_stop_strings_are_dropped() -> None:
    assert sampling(Options(stop=("", "a", "")), 100)["stop"] == ["a"]
