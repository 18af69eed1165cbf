"""Models are made from files and from other models, in Ollama's words and bytes."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import Invalid, NotFound
from gateway.names import parse
from gateway.store.create import CreatePlan, create, finish, prepare
from gateway.store.json_files import Config
from gateway.store.library import Library
from gateway.store.model import Model
from gateway.store.quantize import Conversion, ConvertedBlob
from gateway.store.recipe import parse_recipe
from gateway.templates.detect import bundled
from runners.build.scripted_model import CHATML
from tests.fakes import gguf
from tests.fakes.store import CONFIG, Store

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


def sha(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def upload(store: Store, metadata: Mapping[str, Any], *tensors: Any) -> str:
    path = gguf.write(store.root / "upload.gguf", metadata, tensors)
    return store.blob(path.read_bytes())


def make(library: Library, name: str = "made", **body: Any) -> list[str]:
    return create(library, parse(name), parse_recipe(body))


def made(library: Library, **body: Any) -> Model:
    make(library, **body)
    return library.get(parse("made"))


def kinds(model: Model) -> list[str]:
    return [layer.kind for layer in model.manifest.layers]


def begin(library: Library, **body: Any) -> CreatePlan:
    return prepare(library, parse_recipe(body))


# ---- from files


def test_a_gguf_becomes_a_model(store: Store, library: Library) -> None:
    progress = make(library, files={"m.gguf": store.weights})
    assert progress == [
        "parsing GGUF",
        "verifying conversion",
        f"using existing layer {store.weights}",
        "writing manifest",
        "success",
    ]
    model = library.get(parse("made"))
    assert model.weights_digest == store.weights
    assert (model.parent, kinds(model)) == ("", ["model"])
    assert model.config == Config(
        format="gguf", family="llama", families=("llama",), size="256", file_type="F16"
    )


def test_the_manifest_of_a_model_has_ollamas_bytes(store: Store, library: Library) -> None:
    make(library, files={"m.gguf": store.weights})
    config = (
        b'{"model_format":"gguf","model_family":"llama","model_families":["llama"],'
        b'"model_type":"256","file_type":"F16","architecture":"amd64","os":"linux"}\n'
    )
    size = store.blob_path(store.weights).stat().st_size
    assert store.manifest_path(f"{LIBRARY}/made/latest").read_bytes() == (
        b'{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",'
        b'"config":{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"%b",'
        b'"size":%d},"layers":[{"mediaType":"application/vnd.ollama.image.model","digest":"%b",'
        b'"size":%d}]}\n' % (sha(config).encode(), len(config), store.weights.encode(), size)
    )
    assert store.blob_path(sha(config)).read_bytes() == config


def test_all_layers_come_in_ollamas_order(store: Store, library: Library) -> None:
    progress = make(
        library,
        files={"m.gguf": store.weights},
        adapters={"lora.gguf": upload(store, ADAPTER)},
        template="[{{ .Prompt }}]",
        system="S",
        license=["MIT", "BSD"],
        parameters={"seed": 1, "stop": ["<x>"]},
        messages=[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
    )
    model = library.get(parse("made"))
    assert kinds(model) == [
        *("model", "adapter", "template", "system", "license", "license", "params", "messages")
    ]
    texts = [
        *(b"[{{ .Prompt }}]", b"S", b"MIT", b"BSD"),
        b'{"seed":1,"stop":["\\u003cx\\u003e"]}\n',
        b'[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]\n',
    ]
    assert progress == [
        *("parsing GGUF", "verifying conversion", "parsing GGUF"),
        *(f"using existing layer {layer.digest}" for layer in model.manifest.layers[:2]),
        *(f"creating new layer {sha(text)}" for text in texts),
        *("writing manifest", "success"),
    ]
    assert [path.name for path in model.adapters] == [
        model.manifest.layers[1].digest.replace(":", "-")
    ]
    assert model.manifest.layers[1].origin == "lora.gguf"


def test_a_file_without_a_suffix_is_recognised_by_its_magic(store: Store, library: Library) -> None:
    assert make(library, files={"model": store.weights})[-1] == "success"


@pytest.mark.parametrize(
    ("metadata", "tensor", "kind"),
    [
        ({"general.type": "mmproj"}, "v.x", "projector"),
        ({"general.type": "projector"}, "v.x", "projector"),
        ({"general.architecture": "q", "q.vision.block_count": 2}, "v.x", "projector"),
        ({"general.architecture": "clip", "clip.has_vision_encoder": True}, "v.x", "projector"),
        ({"general.architecture": "clip", "clip.has_audio_encoder": True}, "a.x", "projector"),
        (ADAPTER, "x", "adapter"),
    ],
)
def test_the_role_of_a_file_is_read_from_its_header(
    store: Store, library: Library, metadata: Mapping[str, Any], tensor: str, kind: str
) -> None:
    other = upload(store, metadata, (tensor, "F32", (4,)))
    progress = make(library, files={"a.gguf": store.weights, "b.gguf": other})
    assert progress[:3] == ["parsing GGUF", "verifying conversion", "parsing GGUF"]
    layer = library.get(parse("made")).manifest.layers[1]
    assert (layer.kind, layer.digest, layer.origin) == (kind, other, "b.gguf")


def test_a_model_with_vision_tensors_is_kept_as_uploaded(store: Store, library: Library) -> None:
    facts = {"general.architecture": "gemma3", "gemma3.block_count": 1}
    facts |= {"gemma3.vision.block_count": 1}
    digest = upload(store, facts, ("v.patch", "F32", (4,)), ("blk.0.x", "F32", (4,)))
    assert make(library, files={"see.gguf": digest})[:2] == [
        "parsing GGUF",
        f"using existing layer {digest}",
    ]
    model = library.get(parse("made"))
    assert (model.parent, model.capabilities) == ("see.gguf", ("completion", "vision"))


@pytest.mark.parametrize(
    ("architecture", "name", "parameters"),
    [("gemma4", "gemma4", {"stop": ["<turn|>"]}), ("nemotron_h", "nemotron-3-nano", {})],
)
def test_some_architectures_bring_a_renderer_along(
    store: Store, library: Library, architecture: str, name: str, parameters: dict[str, Any]
) -> None:
    digest = upload(store, {"general.architecture": architecture})
    model = made(library, files={"m.gguf": digest})
    assert (model.config.renderer, model.config.parser) == (name, name)
    assert model.parameters == parameters
    model = made(library, files={"m.gguf": digest}, parser="qwen3", parameters={"stop": ["x"]})
    assert (model.config.renderer, model.config.parser) == (name, "qwen3")
    assert model.parameters == {"stop": ["x"]}
    model = made(library, files={"m.gguf": digest}, parser="qwen3", renderer="olmo3")
    assert (model.config.renderer, model.config.parser) == ("olmo3", "qwen3")
    assert model.parameters == {}


def test_a_draft_is_kept_in_its_own_layer(store: Store, library: Library) -> None:
    draft = upload(store, {"general.architecture": "qwen3"})
    model = made(library, files={"m.gguf": store.weights}, draft_files={"d.gguf": draft})
    assert kinds(model) == ["model", "draft"]
    assert model.config.draft == {"model_format": "gguf", "architecture": "qwen3"}
    assert model.config.families == ("llama",)


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({}, "unknown type"),
        ({"notes.txt": b"text"}, "unknown type"),
        ({"m.gguf": b"text"}, "supplied file was not in GGUF format"),
        (
            {"model.safetensors": b"text"},
            "importing safetensors is not supported yet; convert the model to GGUF first",
        ),
    ],
)
def test_other_files_are_refused(
    store: Store, library: Library, files: dict[str, bytes], text: str
) -> None:
    with pytest.raises(Invalid) as caught:
        make(library, files={name: store.blob(data) for name, data in files.items()})
    assert caught.value.message == text
    assert library.entries() == []


def test_a_stray_file_beside_a_gguf_is_refused(store: Store, library: Library) -> None:
    files = {"m.gguf": store.weights, "config.json": store.blob(b"{}")}
    with pytest.raises(Invalid, match=r"^supplied file was not in GGUF format$"):
        make(library, files=files)


def test_unsound_weights_are_refused(store: Store, library: Library) -> None:
    whole = store.blob_path(store.weights).read_bytes()
    with pytest.raises(Invalid, match="runs past the end of the file"):
        make(library, files={"m.gguf": store.blob(whole[:-1])})


def test_files_without_a_model_are_refused(store: Store, library: Library) -> None:
    with pytest.raises(Invalid, match=r"^no base model was found$"):
        make(library, files={"p.gguf": upload(store, {"general.type": "mmproj"})})


def test_an_adapter_must_be_one(store: Store, library: Library) -> None:
    with pytest.raises(Invalid, match="is not a GGUF LoRA"):
        make(library, files={"m": store.weights}, adapters={"a": store.weights})


@pytest.mark.parametrize("member", ["files", "adapters", "draft_files"])
def test_a_blob_that_was_never_uploaded_is_not_found(
    store: Store, library: Library, member: str
) -> None:
    missing = f"sha256:{'1' * 64}"
    body: dict[str, Any] = {"files": {"m.gguf": store.weights}}
    body |= {member: {"x.gguf": missing}}
    with pytest.raises(NotFound) as caught:
        make(library, **body)
    assert caught.value.message == f'blob "{missing}" not found'


# ---- from a model


def full_base(store: Store) -> None:
    store.put(
        f"{LIBRARY}/full/latest",
        store.text("template", "T{{ .Prompt }}"),
        store.text("params", '{"temperature":0.5,"stop":["a"]}'),
        store.text("system", "old"),
        store.text("license", "MIT"),
        store.text("messages", '[{"role":"user","content":"ping"}]'),
        config={**CONFIG, "renderer": "olmo3", "capabilities": ["x"], "context_length": 5},
    )


def test_a_bare_derived_model_inherits_everything(store: Store, library: Library) -> None:
    full_base(store)
    base = library.get(parse("full"))
    model = made(library, **{"from": "FULL"})
    assert kinds(model) == ["model", "template", "system", "license", "messages", "params"]
    assert (model.template, model.system, model.licenses) == (base.template, "old", ("MIT",))
    assert (model.parameters, model.messages) == (base.parameters, base.messages)
    assert {layer.origin for layer in model.manifest.layers[:-1]} == {"full:latest"}
    assert model.manifest.layers[-1].origin == ""
    assert model.config.renderer == "olmo3"
    assert model.config.capabilities == ("x",)
    assert model.config.context_length == 0


def test_a_derived_model_merges_adds_and_replaces(store: Store, library: Library) -> None:
    full_base(store)
    model = made(
        library,
        **{"from": "full"},
        template="new",
        system="",
        license="BSD",
        parameters={"temperature": 1, "seed": 2},
        messages=[{"role": "user", "content": "x"}],
        renderer="qwen3.5",
        info={"capabilities": ["y", "x"], "parameter_size": "9B"},
    )
    assert kinds(model) == [
        *("model", "system", "license", "template", "license", "params", "messages")
    ]
    assert (model.template, model.system, model.licenses) == ("new", "old", ("MIT", "BSD"))
    assert model.parameters == {"temperature": 1, "stop": ["a"], "seed": 2}
    assert model.messages == ({"role": "user", "content": "x"},)
    assert model.config.renderer == "qwen3.5"
    assert model.config.capabilities == ("x", "y")
    assert (model.config.size, model.config.family) == ("9B", "llama")


def test_a_derived_model_reports_inherited_and_new_layers(store: Store, library: Library) -> None:
    params = store.text("params", '{"seed":1}\n')
    store.put(f"{LIBRARY}/base/latest", params)
    assert make(library, **{"from": "base"}, system="S") == [
        f"using existing layer {store.weights}",
        f"creating new layer {sha(b'S')}",
        f"using existing layer {params['digest']}",
        "writing manifest",
        "success",
    ]


def test_a_model_can_be_made_anew_from_itself(store: Store, library: Library) -> None:
    store.put(f"{LIBRARY}/made/latest", store.text("system", "old"))
    model = made(library, **{"from": "made"}, system="new")
    assert model.system == "new"
    assert model.parent == "made:latest"
    assert not store.blob_path(sha(b"old")).exists()
    assert store.blob_path(store.weights).exists()


def test_an_old_prompt_layer_stays_below_a_new_template(store: Store, library: Library) -> None:
    store.put(f"{LIBRARY}/base/latest", store.text("prompt", "old"))
    model = made(library, **{"from": "base"}, template="new")
    assert kinds(model) == ["model", "prompt", "template"]
    assert model.template == "new"


def test_tensor_models_keep_names_and_config(store: Store, library: Library) -> None:
    tensor = store.layer("tensor", store.blob(b"data"), name="w.0")
    config = {"model_format": "safetensors", "model_family": "f", "requires": "0.19.0"}
    store.put(f"{LIBRARY}/base/latest", tensor, config=config, weights=False)
    model = made(library, **{"from": "base"}, system="S")
    assert model.manifest.layers[0].name == "w.0"
    assert model.config == Config(format="safetensors", family="f", requires="0.19.0")


def test_inherited_blobs_are_touched(store: Store, library: Library) -> None:
    store.put(f"{LIBRARY}/base/latest")
    os.utime(store.blob_path(store.weights), (1, 1))
    make(library, **{"from": "base"})
    assert store.blob_path(store.weights).stat().st_mtime > 1


def test_an_unknown_base_is_not_found(library: Library) -> None:
    with pytest.raises(NotFound, match=r"^model 'nope:latest' not found$"):
        make(library, **{"from": "nope"})


def test_a_base_without_its_weights_is_refused(store: Store, library: Library) -> None:
    store.put(f"{LIBRARY}/base/latest")
    store.blob_path(store.weights).unlink()
    with pytest.raises(NotFound, match=f'^blob "{store.weights}" not found$'):
        make(library, **{"from": "base"})


def test_a_remote_base_is_refused(store: Store, library: Library) -> None:
    store.put(f"{LIBRARY}/base/latest", config={"remote_host": "h"}, weights=False)
    with pytest.raises(Invalid, match="remote models are not supported"):
        make(library, **{"from": "base"})


def test_the_name_is_stored_in_the_spelling_that_is_there(store: Store, library: Library) -> None:
    path = store.put(f"{LIBRARY}/Made/latest")
    make(library, name="MADE", files={"m.gguf": store.weights}, system="S")
    assert [entry.name.short for entry in library.entries()] == ["Made:latest"]
    assert len(json.loads(path.read_text())["layers"]) == 2


# ---- a template that fits


def test_a_known_chat_template_brings_template_and_stops(store: Store, library: Library) -> None:
    weights = upload(store, TALKS)
    progress = make(library, files={"m.gguf": weights}, system="S")
    model = library.get(parse("made"))
    assert [layer.kind for layer in model.manifest.layers] == [
        "model",
        "template",
        "system",
        "params",
    ]
    assert model.template == bundled("chatml").template
    assert model.parameters == {"stop": ["<|im_start|>", "<|im_end|>"]}
    assert progress[:4] == [
        "parsing GGUF",
        "verifying conversion",
        f"using existing layer {weights}",
        "using autodetected template chatml",
    ]
    params = model.manifest.layers[3]
    assert progress[5] == f"creating new layer {params.digest}"
    assert store.blob_path(params.digest).read_bytes() == (
        b'{"stop":["\\u003c|im_start|\\u003e","\\u003c|im_end|\\u003e"]}\n'
    )


def test_a_template_of_the_request_replaces_the_one_that_fits(
    store: Store, library: Library
) -> None:
    weights = upload(store, TALKS)
    progress = make(library, files={"m.gguf": weights}, template="[{{ .Prompt }}]")
    model = library.get(parse("made"))
    assert model.template == "[{{ .Prompt }}]"
    assert model.parameters["stop"] == ["<|im_start|>", "<|im_end|>"]
    assert [line for line in progress if "autodetected" in line] == []


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
    progress = make(library, **{"from": "old"})
    assert library.get(parse("made")).template == "T"
    assert [line for line in progress if "autodetected" in line] == []


@pytest.mark.parametrize("own", [None, "", "{{ messages }}"])
def test_an_unknown_chat_template_brings_nothing(
    store: Store, library: Library, own: str | None
) -> None:
    fields = {} if own is None else {"tokenizer.chat_template": own}
    make(library, files={"m.gguf": upload(store, {**gguf.LLAMA, **fields})})
    model = library.get(parse("made"))
    assert (model.template, model.parameters) == (None, {})


# ---- what is to be converted


def test_nothing_is_converted_without_a_request(store: Store, library: Library) -> None:
    plan = begin(library, files={"m.gguf": store.weights})
    assert plan.conversions == ()
    assert plan.progress == ("parsing GGUF", "verifying conversion")


def test_uploaded_weights_are_quantized(store: Store, library: Library) -> None:
    plan = begin(library, files={"m.gguf": store.weights}, quantize="q8_0")
    size = store.blob_path(store.weights).stat().st_size
    assert plan.conversions == (Conversion(0, (store.weights,), size, "F16", "Q8_0"),)
    assert plan.progress == ("parsing GGUF",)


def test_weights_of_a_base_are_quantized(store: Store, library: Library) -> None:
    store.put(f"{LIBRARY}/base/latest", store.text("template", "T"))
    plan = begin(library, **{"from": "base", "quantize": "Q4_K"})
    assert [(one.part, one.target) for one in plan.conversions] == [(0, "Q4_K_M")]
    assert plan.progress == ()


def test_weights_of_type_zero_are_f32(store: Store, library: Library) -> None:
    plain = upload(store, {**gguf.LLAMA, "general.file_type": 0})
    plan = begin(library, files={"m.gguf": plain}, quantize="Q8_0")
    assert [(one.origin, one.target) for one in plan.conversions] == [("F32", "Q8_0")]


def test_projectors_and_adapters_stay_as_they_are(store: Store, library: Library) -> None:
    files = {"m.gguf": store.weights, "p.gguf": upload(store, {"general.type": "mmproj"})}
    adapter = upload(store, ADAPTER)
    plan = begin(library, files=files, adapters={"a.gguf": adapter}, quantize="Q8_0")
    assert [one.sources for one in plan.conversions] == [(store.weights,)]
    assert plan.progress == ("parsing GGUF",) * 3


def test_a_draft_has_a_type_of_its_own(store: Store, library: Library) -> None:
    draft = {"d.gguf": store.weights}
    store.put(f"{LIBRARY}/base/latest")
    body: dict[str, Any] = {"from": "base", "draft_files": draft, "draft_quantize": "Q8_0"}
    plan = begin(library, **body)
    assert [(one.part, one.target) for one in plan.conversions] == [(1, "Q8_0")]
    with pytest.raises(Invalid, match="requires an unquantized draft model, got Q8_0"):
        quantized = {"draft_files": {"d.gguf": upload(store, QUANTIZED)}}
        begin(library, **{**body, **quantized, "draft_quantize": "Q4_K_M"})


def test_quantized_weights_are_refused(store: Store, library: Library) -> None:
    with pytest.raises(Invalid, match="only supported for F16, BF16 and F32 models"):
        begin(library, files={"m.gguf": upload(store, QUANTIZED)}, quantize="Q4_K_M")


def test_a_model_with_vision_tensors_is_not_converted(store: Store, library: Library) -> None:
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
    plan = begin(library, files=files)
    assert [(one.sources, one.target) for one in plan.conversions] == [(tuple(shards), "COPY")]
    assert plan.progress == ("parsing GGUF", "parsing GGUF")
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
    message = 'split GGUF "p-00001-of-00002.gguf" cannot be merged: no model'
    assert caught.value.message == message


# ---- what was converted


@pytest.mark.parametrize(("new", "word"), [(True, "creating new"), (False, "using existing")])
def test_a_converted_part_takes_the_place_of_its_source(
    store: Store, library: Library, new: bool, word: str
) -> None:
    store.put(f"{LIBRARY}/base/latest", store.text("system", "S"))
    recipe = parse_recipe({"from": "base", "quantize": "Q8_0"})
    plan = prepare(library, recipe)
    made = upload(store, QUANTIZED, ("token_embd.weight", "Q8_0", (32, 2)))
    progress = finish(library, parse("made"), recipe, plan, {0: ConvertedBlob(made, new)})
    assert progress[0] == f"{word} layer {made}"
    assert progress[-2:] == ["writing manifest", "success"]
    model = library.get(parse("made"))
    assert (model.weights_digest, model.parent, model.system) == (made, "", "S")
    assert (model.config.file_type, model.config.size) == ("Q8_0", "64")


def test_a_blob_that_went_in_between_is_missed(store: Store, library: Library) -> None:
    store.put(f"{LIBRARY}/base/latest")
    recipe = parse_recipe({"from": "base"})
    plan = prepare(library, recipe)
    store.blob_path(store.weights).unlink()
    with pytest.raises(NotFound, match=f'^blob "{store.weights}" not found$'):
        finish(library, parse("made"), recipe, plan, {})
    assert library.find(parse("made")) is None
