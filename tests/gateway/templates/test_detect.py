"""Chat templates that are known, near to known ones, or neither."""

from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.templates.detect import (
    CUTOFF,
    FORMS,
    KNOWN,
    STOPS,
    BundledTemplate,
    TemplateForm,
    bundled,
    detect,
    distance,
    known,
    nearest,
)
from runners.build.scripted_model import CHATML

# A plain template in the manner of ChatML, with marks of its own.
STRANGER = CHATML.replace("<|im_start|>", "<|open_it|>").replace("<|im_end|>", "<|close|>")


def levenshtein(one: str, other: str) -> int:
    """By the textbook, cell by cell."""
    above = list(range(len(other) + 1))
    for row, mine in enumerate(one, 1):
        line = [row]
        for column, theirs in enumerate(other, 1):
            swapped = above[column - 1] + (mine != theirs)
            line.append(min(above[column] + 1, line[-1] + 1, swapped))
        above = line
    return above[-1]


# ---- the table


def test_every_name_has_a_template_and_stops() -> None:
    there = {path.name for path in (files("gateway.templates") / "bundled").iterdir()}
    assert there == {f"{name}.gotmpl" for name in STOPS}
    assert len(STOPS) == 20
    assert set(KNOWN.values()) == STOPS.keys() - {"vicuna"}
    assert len(KNOWN) == 37


def test_chatml_is_ollamas_own_text() -> None:
    assert bundled("chatml") == BundledTemplate(
        "chatml",
        "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
        "<|im_start|>assistant\n",
        ("<|im_start|>", "<|im_end|>"),
    )


def test_an_unknown_name_has_no_template() -> None:
    with pytest.raises(KeyError):
        bundled("nope")


# ---- exact


def test_a_known_input_has_its_name_by_its_digest() -> None:
    """Our first form without two blanks is one of them."""
    text = FORMS[0].text.replace("{{ '<|im_start|>' + ", "{{'<|im_start|>' + ")
    text = text.replace("'\n' }}{% endfor %}", "'\n'}}{% endfor %}")
    assert len(text) == len(FORMS[0].text) - 2
    assert known(text) == "chatml"
    assert known(FORMS[0].text) is None
    assert known(text.replace("'role'", "'rolf'")) is None


# ---- near


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.name}-{len(form.text)}")
def test_every_form_is_its_own_name(form: TemplateForm) -> None:
    assert detect(form.text) == bundled(form.name)
    assert distance(form.text, form.text, 1) == 0


def test_the_scripted_models_are_chatml() -> None:
    bundle = detect(CHATML)
    assert bundle is not None
    assert (bundle.name, bundle.stop) == ("chatml", ("<|im_start|>", "<|im_end|>"))


def test_the_nearest_form_wins() -> None:
    """A phi-3 template is nearer to the one form of phi-3, though both would do."""
    phi = [form for form in FORMS if form.name == "phi-3"]
    text = phi[1].text.replace("message", "turn")
    assert distance(phi[1].text, text, 1000) < CUTOFF
    assert nearest(text) == "phi-3"


def test_what_is_a_hundred_edits_away_is_not_near() -> None:
    text = FORMS[0].text
    assert nearest(text + "#" * (CUTOFF - 1)) == "chatml"
    assert nearest(text + "#" * CUTOFF) is None


def test_marks_of_its_own_make_a_template_a_stranger() -> None:
    assert distance(FORMS[0].text, STRANGER, 1000) < CUTOFF
    assert detect(STRANGER) is None


@pytest.mark.parametrize("text", ["", "{{ messages }}", "x" * 300, CHATML * 300])
def test_what_is_unlike_all_is_nothing(text: str) -> None:
    assert detect(text) is None


def test_a_template_that_is_far_too_long_is_near_to_nothing() -> None:
    assert nearest((CHATML * 300)[:50_000]) is None


# ---- distance


@given(st.text("abc", max_size=80), st.text("abc", max_size=80), st.integers(1, 90))
def test_the_distance_is_levenshteins(one: str, other: str, cutoff: int) -> None:
    assert distance(one, other, cutoff) == min(levenshtein(one, other), cutoff)


@pytest.mark.parametrize(
    ("one", "other", "edits"),
    [
        ("", "", 0),
        ("", "abc", 3),
        ("abc", "", 3),
        ("kitten", "sitting", 3),
        ("grüße", "grüsse", 2),
        ("🦙🦙", "🦙", 1),
    ],
)
def test_distances(one: str, other: str, edits: int) -> None:
    assert distance(one, other, CUTOFF) == edits
