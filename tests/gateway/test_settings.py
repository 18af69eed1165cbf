"""Every setting in every spelling, and what is said about values that cannot be read."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.settings import IGNORED, BadSetting, Settings, ignored, load

# (field, name, whether Ollama has it, default, text, its value)
FIELDS: list[tuple[str, str, bool, Any, str, Any]] = [
    ("host", "HOST", True, "127.0.0.1:11434", "0.0.0.0:80", "0.0.0.0:80"),
    ("origins", "ORIGINS", True, (), "http://a, https://b:*,,", ("http://a", "https://b:*")),
    ("models", "MODELS", True, Path("~/.ollama/models"), "/srv/models", Path("/srv/models")),
    ("keep_alive", "KEEP_ALIVE", True, 300.0, "1h30m", 5400.0),
    ("load_timeout", "LOAD_TIMEOUT", True, 300.0, "90", 90.0),
    ("num_parallel", "NUM_PARALLEL", True, 0, "8", 8),
    ("max_loaded_models", "MAX_LOADED_MODELS", True, 0, "3", 3),
    ("max_queue", "MAX_QUEUE", True, 512, "1", 1),
    ("context_length", "CONTEXT_LENGTH", True, 0, "8192", 8192),
    ("gpu_overhead", "GPU_OVERHEAD", True, 0, "1073741824", 1 << 30),
    ("sched_spread", "SCHED_SPREAD", True, False, "1", True),
    ("flash_attention", "FLASH_ATTENTION", True, "auto", "0", "off"),
    ("kv_cache_type", "KV_CACHE_TYPE", True, "", "q8_0", "q8_0"),
    ("noprune", "NOPRUNE", True, False, "true", True),
    ("no_cloud", "NO_CLOUD", True, False, "T", True),
    ("debug", "DEBUG", True, 0, "2", 2),
    ("log_json", "LOG_JSON", False, False, "true", True),
    ("engine", "ENGINE", False, "", "/opt/llama-server", "/opt/llama-server"),
    ("prompt_cache", "PROMPT_CACHE", False, 256, "0", 0),
    ("store_responses", "STORE_RESPONSES", False, True, "0", False),
    ("responses_file", "RESPONSES_FILE", False, "", "/srv/r.db", "/srv/r.db"),
    ("responses_lifetime", "RESPONSES_LIFETIME", False, 604800.0, "-1", math.inf),
    ("responses_room", "RESPONSES_ROOM", False, 256, "1", 1),
    ("drain", "DRAIN", False, 5.0, "500ms", 0.5),
]
WRONG = [
    ("KEEP_ALIVE", "soon", 'time: invalid duration "soon"'),
    ("KEEP_ALIVE", "1d", 'time: unknown unit "d" in duration "1d"'),
    ("LOAD_TIMEOUT", "1.5", 'time: missing unit in duration "1.5"'),
    ("NUM_PARALLEL", "-1", "input should be greater than or equal to 0"),
    ("NUM_PARALLEL", "257", "input should be less than or equal to 256"),
    ("MAX_LOADED_MODELS", "-1", "input should be greater than or equal to 0"),
    ("MAX_QUEUE", "0", "input should be greater than or equal to 1"),
    (
        "CONTEXT_LENGTH",
        "4k",
        "input should be a valid integer, unable to parse string as an integer",
    ),
    ("GPU_OVERHEAD", "-5", "input should be greater than or equal to 0"),
    ("SCHED_SPREAD", "yes", "'yes' is neither true nor false"),
    ("FLASH_ATTENTION", "maybe", "'maybe' is neither true nor false"),
    (
        "KV_CACHE_TYPE",
        "Q8_0",
        "string should match pattern '^(|f32|f16|bf16|q8_0|q5_1|q5_0|q4_1|q4_0|iq4_nl)$'",
    ),
    ("NOPRUNE", "2", "'2' is neither true nor false"),
    ("NO_CLOUD", "x", "'x' is neither true nor false"),
    ("DEBUG", "loud", "input should be a valid integer, unable to parse string as an integer"),
]


def complaint(environ: dict[str, str]) -> str:
    """What is wrong with the environment, if anything is."""
    try:
        load(environ)
    except BadSetting as error:
        return str(error)
    return ""


def test_the_table_above_is_complete_and_its_defaults_are_right() -> None:
    assert {field: default for field, _, _, default, _, _ in FIELDS} == Settings().model_dump()


def test_every_setting_has_a_help_text_without_line_breaks() -> None:
    texts = [field.description or "" for field in Settings.model_fields.values()]
    assert all(texts)
    assert not any("\n" in text for text in texts)


@pytest.mark.parametrize(("field", "name", "ollama", "default", "text", "value"), FIELDS)
def test_each_setting_is_read_in_both_spellings(
    field: str, name: str, ollama: bool, default: Any, text: str, value: Any
) -> None:
    assert getattr(load({f"PADDOCK_{name}": text}), field) == value
    assert getattr(load({f"OLLAMA_{name}": text}), field) == (value if ollama else default)


def test_our_own_spelling_wins_unless_it_is_empty() -> None:
    assert load({"OLLAMA_MAX_QUEUE": "1", "PADDOCK_MAX_QUEUE": "2"}).max_queue == 2
    assert load({"OLLAMA_MAX_QUEUE": "1", "PADDOCK_MAX_QUEUE": " '' "}).max_queue == 1
    assert load({"OLLAMA_MAX_QUEUE": "", "PADDOCK_MAX_QUEUE": ""}).max_queue == 512


@pytest.mark.parametrize("text", [" 7 ", '"7"', "'7'", " \"'7'\" ", "\t7\n"])
def test_white_space_and_quotes_around_a_value_do_not_count(text: str) -> None:
    assert load({"OLLAMA_MAX_QUEUE": text}).max_queue == 7


@pytest.mark.parametrize("name", ["paddock_max_queue", "MAX_QUEUE", "max_queue"])
def test_other_spellings_are_not_read(name: str) -> None:
    assert load({name: "7"}).max_queue == 512


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0.0), ("-1", math.inf), ("-5m", math.inf), ("90", 90.0), ("1h1s", 3601.0)],
)
def test_durations_below_zero_never_end(text: str, seconds: float) -> None:
    assert load({"OLLAMA_KEEP_ALIVE": text}).keep_alive == seconds


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("t", True), ("TRUE", True), ("0", False), ("F", False), ("false", False)],
)
def test_the_words_for_yes_and_no(text: str, value: bool) -> None:
    assert load({"OLLAMA_NOPRUNE": text}).noprune is value


@pytest.mark.parametrize(
    ("text", "value"),
    [("auto", "auto"), ("ON", "on"), ("off", "off"), ("1", "on"), ("f", "off"), ("true", "on")],
)
def test_flash_attention_is_a_word_or_a_boolean(text: str, value: str) -> None:
    assert load({"OLLAMA_FLASH_ATTENTION": text}).flash_attention == value


@pytest.mark.parametrize(("text", "value"), [("true", 1), ("0", 0), ("F", 0), ("1", 1), ("2", 2)])
def test_debug_is_a_boolean_or_a_number(text: str, value: int) -> None:
    assert load({"OLLAMA_DEBUG": text}).debug == value


@pytest.mark.parametrize("prefix", ["PADDOCK_", "OLLAMA_"])
@pytest.mark.parametrize(("name", "text", "reason"), WRONG)
def test_a_wrong_value_is_told_with_its_variable(
    prefix: str, name: str, text: str, reason: str
) -> None:
    assert complaint({prefix + name: text}) == f"{prefix}{name}={text}: {reason}"


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("LOG_JSON", "yes", "'yes' is neither true nor false"),
        ("PROMPT_CACHE", "-1", "input should be greater than or equal to 0"),
        ("STORE_RESPONSES", "maybe", "'maybe' is neither true nor false"),
        ("RESPONSES_ROOM", "0", "input should be greater than or equal to 1"),
        ("DRAIN", "long", 'time: invalid duration "long"'),
    ],
)
def test_a_wrong_value_of_a_setting_that_ollama_lacks(name: str, text: str, reason: str) -> None:
    assert complaint({f"PADDOCK_{name}": text}) == f"PADDOCK_{name}={text}: {reason}"


def test_only_the_first_of_several_wrong_values_is_told() -> None:
    reported = complaint({"OLLAMA_DEBUG": "x", "OLLAMA_NUM_PARALLEL": "many"})
    assert reported.startswith("OLLAMA_NUM_PARALLEL=many: ")
    assert "DEBUG" not in reported


@given(st.text(min_size=1), st.sampled_from(FIELDS))
def test_whatever_a_value_is_the_complaint_is_one_line(
    text: str, field: tuple[str, str, bool, Any, str, Any]
) -> None:
    name = f"PADDOCK_{field[1]}"
    reported = complaint({name: text})
    assert reported.splitlines() == ([reported] if reported else [])
    assert not reported or reported.startswith(f"{name}=")


def test_line_breaks_in_a_value_do_not_break_the_complaint() -> None:
    reason = "input should be a valid integer, unable to parse string as an integer"
    assert complaint({"OLLAMA_MAX_QUEUE": "1\n\u20282"}) == f"OLLAMA_MAX_QUEUE=1 2: {reason}"


def test_the_real_environment_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_MAX_QUEUE", "9")
    assert load({}).max_queue == 512


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValidationError):
        load({}).max_queue = 3


def test_ollamas_meaningless_variables_are_named_when_they_are_set() -> None:
    assert ignored({"OLLAMA_VULKAN": "1", "OLLAMA_AUTH": "", "OLLAMA_HOST": "x"}) == [
        "OLLAMA_VULKAN"
    ]
    assert ignored(dict.fromkeys(IGNORED, "1")) == list(IGNORED)
