"""The steps of a create: a template that fits, what is to be converted, and what came of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import Invalid, NotFound
from gateway.names import parse
from gateway.store.conversion import Conversion
from gateway.store.create import Converted, Start, create, finish, prepare
from gateway.store.library import Library
from gateway.store.recipe import checked
from gateway.templates.detect import bundled
from runners.build.scripted_model import CHATML
from tests.fakes import gguf
from tests.fakes.store import Store

LIBRARY = "registry.ollama.ai/library"
ADAPTER = {"general.architecture": "llama", "general.type": "adapter"}
TALKS = {**gguf.LLAMA, "tokenizer.chat_template": CHATML}
QUANTIZED = {**gguf.LLAMA, "general.file_type": 7}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


@pytest.fixture
def library(store: Store) -> Library:
    return Library(store.root)


def upload(store: Store, metadata: Mapping[str, Any], *tensors: Any) -> str:
    path = gguf.write(store.root / "upload.gguf", metadata, tensors)
    return store.blob(path.read_bytes())


def make(library: Library, **body: Any) -> list[str]:
    return create(library, parse("made"), checked(body))


def begin(library: Library, **body: Any) -> Start:
    return prepare(library, checked(body))


# ---- a template that fits


def test_a_known_chat_template_brings_template_and_stops(store: Store, library: Library) -> None:
    weights = upload(store, TALKS)
    told = make(library, files={"m.gguf": weights}, system="S")
    model = library.get(parse("made"))
    assert [layer.kind for layer in model.manifest.layers] == [
        "model",
        "template",
        "system",
        "params",
    ]
    assert model.template == bundled("chatml").template
    assert model.parameters == {"stop": ["<|im_start|>", "<|im_end|>"]}
    assert told[:4] == [
        "parsing GGUF",
        "verifying conversion",
        f"using existing layer {weights}",
        "using autodetected template chatml",
    ]
    params = model.manifest.layers[3]
    assert told[5] == f"creating new layer {params.digest}"
    assert store.blob_path(params.digest).read_bytes() == (
        b'{"stop":["\\u003c|im_start|\\u003e","\\u003c|im_end|\\u003e"]}\n'
    )


def test_a_template_of_the_request_replaces_the_one_that_fits(
    store: Store, library: Library
) -> None:
    weights = upload(store, TALKS)
    told = make(library, files={"m.gguf": weights}, template="[{{ .Prompt }}]")
    model = library.get(parse("made"))
    assert model.template == "[{{ .Prompt }}]"
    assert model.parameters["stop"] == ["<|im_start|>", "<|im_end|>"]
    assert [line for line in told if "autodetected" in line] == []


def test_stops_of_the_request_replace_those_that_fit(store: Store, library: Library) -> None:
    weights = upload(store, TALKS)
    make(library, files={"m.gguf": weights}, parameters={"stop": ["x"], "seed": 1})
    model = library.get(parse("made"))
    assert model.parameters == {"seed": 1, "stop": ["x"]}
    assert model.template == bundled("chatml").template


def test_a_model_of_another_model_gets_no_template(store: Store, library: Library) -> None:
    store.put(f"{LIBRARY}/base/latest")
    weights = upload(store, TALKS)
    make(library, files={"m.gguf": weights}, template="T")
    library.copy(parse("made"), parse("old"))
    told = make(library, **{"from": "old"})
    assert library.get(parse("made")).template == "T"
    assert [line for line in told if "autodetected" in line] == []


@pytest.mark.parametrize("own", [None, "", "{{ messages }}"])
def test_an_unknown_chat_template_brings_nothing(
    store: Store, library: Library, own: str | None
) -> None:
    fields = {} if own is None else {"tokenizer.chat_template": own}
    make(library, files={"m.gguf": upload(store, {**gguf.LLAMA, **fields})})
    model = library.get(parse("made"))
    assert (model.template, model.parameters) == (None, {})


# ---- what is to be converted


def test_nothing_is_converted_that_nobody_asks_for(store: Store, library: Library) -> None:
    start = begin(library, files={"m.gguf": store.weights})
    assert start.conversions == ()
    assert start.progress == ("parsing GGUF", "verifying conversion")


def test_uploaded_weights_are_quantized(store: Store, library: Library) -> None:
    start = begin(library, files={"m.gguf": store.weights}, quantize="q8_0")
    size = store.blob_path(store.weights).stat().st_size
    assert start.conversions == (Conversion(0, (store.weights,), size, "F16", "Q8_0"),)
    assert start.progress == ("parsing GGUF",)


def test_weights_of_a_base_are_quantized(store: Store, library: Library) -> None:
    store.put(f"{LIBRARY}/base/latest", store.text("template", "T"))
    start = begin(library, **{"from": "base", "quantize": "Q4_K"})
    assert [(one.part, one.target) for one in start.conversions] == [(0, "Q4_K_M")]
    assert start.progress == ()


def test_weights_of_type_zero_are_f32(store: Store, library: Library) -> None:
    plain = upload(store, {**gguf.LLAMA, "general.file_type": 0})
    start = begin(library, files={"m.gguf": plain}, quantize="Q8_0")
    assert [(one.origin, one.target) for one in start.conversions] == [("F32", "Q8_0")]


def test_projectors_and_adapters_stay_as_they_are(store: Store, library: Library) -> None:
    files = {"m.gguf": store.weights, "p.gguf": upload(store, {"general.type": "mmproj"})}
    adapter = upload(store, ADAPTER)
    start = begin(library, files=files, adapters={"a.gguf": adapter}, quantize="Q8_0")
    assert [one.sources for one in start.conversions] == [(store.weights,)]
    assert start.progress == ("parsing GGUF",) * 3


def test_a_draft_has_a_type_of_its_own(store: Store, library: Library) -> None:
    draft = {"d.gguf": store.weights}
    store.put(f"{LIBRARY}/base/latest")
    body: dict[str, Any] = {"from": "base", "draft_files": draft, "draft_quantize": "Q8_0"}
    start = begin(library, **body)
    assert [(one.part, one.target) for one in start.conversions] == [(1, "Q8_0")]
    with pytest.raises(Invalid, match="requires an unquantized draft model, got Q8_0"):
        quantized = {"draft_files": {"d.gguf": upload(store, QUANTIZED)}}
        begin(library, **{**body, **quantized, "draft_quantize": "Q4_K_M"})


def test_quantized_weights_are_refused(store: Store, library: Library) -> None:
    with pytest.raises(Invalid, match="only supported for F16, BF16 and F32 models"):
        begin(library, files={"m.gguf": upload(store, QUANTIZED)}, quantize="Q4_K_M")


def test_a_model_with_eyes_of_its_own_is_not_converted(store: Store, library: Library) -> None:
    sees = upload(store, gguf.LLAMA, ("v.patch.weight", "F32", (8,)))
    assert begin(library, files={"m.gguf": sees}).conversions == ()
    with pytest.raises(Invalid, match="tensors of its own cannot be converted"):
        begin(library, files={"m.gguf": sees}, quantize="Q8_0")


def test_shards_are_merged(store: Store, library: Library) -> None:
    split = {"split.count": gguf.As("u16", 2)}
    shards = [
        upload(store, {**gguf.LLAMA, **split, "split.no": gguf.As("u16", number)})
        for number in range(2)
    ]
    files = {f"m-0000{number}-of-00002.gguf": shard for number, shard in enumerate(shards, 1)}
    start = begin(library, files=files)
    assert [(one.sources, one.target) for one in start.conversions] == [(tuple(shards), "COPY")]
    assert start.progress == ("parsing GGUF", "parsing GGUF")
    quantized = begin(library, files=files, quantize="Q8_0")
    assert [one.target for one in quantized.conversions] == ["Q8_0"]


def test_shards_of_a_projector_are_refused(store: Store, library: Library) -> None:
    files = {"m.gguf": store.weights}
    for number in range(2):
        split = {"split.count": gguf.As("u16", 2), "split.no": gguf.As("u16", number)}
        fields = {"general.type": "mmproj", **split}
        files[f"p-0000{number + 1}-of-00002.gguf"] = upload(store, fields)
    with pytest.raises(Invalid) as caught:
        begin(library, files=files)
    told = 'split GGUF "p-00001-of-00002.gguf" cannot be merged: no model'
    assert caught.value.message == told


# ---- what came of it


@pytest.mark.parametrize(("new", "word"), [(True, "creating new"), (False, "using existing")])
def test_a_converted_part_takes_the_place_of_its_source(
    store: Store, library: Library, new: bool, word: str
) -> None:
    store.put(f"{LIBRARY}/base/latest", store.text("system", "S"))
    recipe = checked({"from": "base", "quantize": "Q8_0"})
    start = prepare(library, recipe)
    made = upload(store, QUANTIZED, ("token_embd.weight", "Q8_0", (32, 2)))
    told = finish(library, parse("made"), recipe, start, {0: Converted(made, new)})
    assert told[0] == f"{word} layer {made}"
    assert told[-2:] == ["writing manifest", "success"]
    model = library.get(parse("made"))
    assert (model.weights_digest, model.parent, model.system) == (made, "", "S")
    assert (model.config.file_type, model.config.size) == ("Q8_0", "64")


def test_a_blob_that_went_in_between_is_missed(store: Store, library: Library) -> None:
    store.put(f"{LIBRARY}/base/latest")
    recipe = checked({"from": "base"})
    start = prepare(library, recipe)
    store.blob_path(store.weights).unlink()
    with pytest.raises(NotFound, match=f'^blob "{store.weights}" not found$'):
        finish(library, parse("made"), recipe, start, {})
    assert library.find(parse("made")) is None
