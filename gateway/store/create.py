"""Make a model: blobs and a recipe in, a manifest out.

What can go wrong is found before the first byte is written: files are looked at first, then small
layers are stored, then the manifest. Bytes are Ollama's own, so that blobs are shared with it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gateway import numbers
from gateway.errors import Invalid, NotFound
from gateway.names import Name
from gateway.store import config, manifests, parameters
from gateway.store.blobs import Blobs
from gateway.store.config import Config
from gateway.store.gguf import Header, read_header
from gateway.store.library import Library
from gateway.store.manifests import CONFIG_TYPE, LAYER_TYPE, Layer, Manifest
from gateway.store.model import Model
from gateway.store.recipe import Recipe, encode_messages

PARSING = "parsing GGUF"
VERIFIED = "verifying conversion"
WRITING = "writing manifest"
SUCCESS = "success"

_MAGIC = (b"GGUF", b"FUGG")
# Tensors of towers that live inside the model's own file.
_TOWERS = ("a.", "mm.", "mtp.", "s.", "v.")

# Architectures that Ollama gives a renderer, a parser and parameters unless the request does.
_RENDERED: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "gemma4": ("gemma4", {"stop": ["<turn|>"]}),
    "laguna": ("laguna", {}),
    "nemotron_h": ("nemotron-3-nano", {}),
    "nemotron_h_moe": ("nemotron-3-nano", {}),
    "nemotron_h_omni": ("nemotron-3-nano", {}),
}


@dataclass(frozen=True, slots=True)
class Part:
    """A layer whose blob is there already, and the header of its GGUF if that is known."""

    layer: Layer
    header: Header | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """What a model is built on: its files and what it inherits."""

    parts: tuple[Part, ...]
    config: Config
    parameters: Mapping[str, Any]
    progress: tuple[str, ...]


def create(library: Library, name: Name, recipe: Recipe) -> list[str]:
    """Make `name` by the recipe; returns the progress in Ollama's words, the last being `success`.

    Raises Invalid or NotFound before anything is written.
    """
    with library.lock:
        blobs = library.blobs
        start = _from_base(library, recipe.base) if recipe.base else _from_files(blobs, recipe)
        start = _with_extras(blobs, start, recipe)
        settings, extra = _configure(start, recipe)
        layers, told = _assemble(blobs, start, recipe, extra)
        data = config.encode(settings)
        digest, _ = blobs.store(data)
        manifest = Manifest(layers, Layer(CONFIG_TYPE, digest, len(data)))
        library.publish(name, manifests.encode(manifest))
    return [*start.progress, *told, WRITING, SUCCESS]


def _from_base(library: Library, base: Name) -> Start:
    """Start from a stored model: all its layers, marked with its name, and part of its config."""
    model = library.get(base)
    if model.config.remote_host:
        raise Invalid("remote models are not supported")
    parts = tuple(_inherited(model, layer) for layer in model.manifest.layers)
    for part in parts:
        if not library.blobs.exists(part.layer.digest):
            raise NotFound(f'blob "{part.layer.digest}" not found')
    return Start(parts, _kept(model), model.parameters, ())


def _inherited(model: Model, layer: Layer) -> Part:
    header = model.header if layer.digest == model.weights_digest else None
    return Part(replace(layer, origin=model.name.short), header)


def _kept(model: Model) -> Config:
    """What a new model takes over. The rest is told anew by the GGUF, if it can be read."""
    if model.header is None:
        return model.config
    return Config(
        format=model.config.format,
        renderer=model.config.renderer,
        parser=model.config.parser,
        requires=model.config.requires,
        capabilities=model.config.capabilities,
        draft=model.config.draft,
    )


def _from_files(blobs: Blobs, recipe: Recipe) -> Start:
    """Start from uploaded GGUF files, models and projectors."""
    _require(blobs, recipe.files.values())
    _recognise(blobs, recipe.files)
    parts = tuple(_part(blobs, name, digest) for name, digest in recipe.files.items())
    if not any(part.layer.kind == "model" for part in parts):
        raise Invalid("no base model was found")
    return Start(parts, Config(), {}, _read_progress(parts))


def _with_extras(blobs: Blobs, start: Start, recipe: Recipe) -> Start:
    """Add adapters, then drafts."""
    _require(blobs, [*recipe.adapters.values(), *recipe.drafts.values()])
    adapters = tuple(_part(blobs, name, digest) for name, digest in recipe.adapters.items())
    for part in adapters:
        if part.layer.kind != "adapter":
            raise Invalid(f'adapter "{part.layer.origin or part.layer.digest}" is not a GGUF LoRA')
    drafts = tuple(
        Part(replace(part.layer, media_type=f"{LAYER_TYPE}draft"), part.header)
        for part in (_part(blobs, name, digest) for name, digest in recipe.drafts.items())
    )
    return replace(
        start,
        parts=(*start.parts, *adapters, *drafts),
        progress=(*start.progress, *_read_progress((*adapters, *drafts))),
    )


def _require(blobs: Blobs, digests: Iterable[str]) -> None:
    for digest in digests:
        if not blobs.exists(digest):
            raise NotFound(f'blob "{digest}" not found')


def _recognise(blobs: Blobs, files: Mapping[str, str]) -> None:
    """Raise Invalid unless the files are GGUF, by name or else by their first bytes."""
    if any(name.endswith(".safetensors") for name in files):
        raise Invalid("importing safetensors is not supported yet; convert the model to GGUF first")
    sure = any(name.endswith(".gguf") for name in files)
    if not sure and not any(_is_gguf(blobs.path(digest)) for digest in files.values()):
        raise Invalid("unknown type")


def _is_gguf(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(4) in _MAGIC


def _part(blobs: Blobs, name: str, digest: str) -> Part:
    """The layer of an uploaded GGUF file, in the role its header gives it."""
    path = blobs.path(digest)
    if not _is_gguf(path):
        raise Invalid("supplied file was not in GGUF format")
    header = read_header(path)
    shards = header.metadata.get("split.count", header.get("split.count", 0))
    if isinstance(shards, int) and shards > 1:
        raise Invalid(f'"{name}" is one of {shards} parts of a split GGUF; merge them first')
    role = _role(header)
    # Ollama rewrites plain models, so their layers come from no file any more.
    kept = role != "model" or any(tensor.name.startswith(_TOWERS) for tensor in header.tensors)
    layer = Layer(LAYER_TYPE + role, digest, header.size, origin=name if kept else "")
    return Part(layer, header)


def _role(header: Header) -> str:
    kind = header.get("general.type")
    if kind == "adapter":
        return "adapter"
    encoders = ("has_vision_encoder", "has_audio_encoder")
    encodes = header.architecture == "clip" and any(header.get(key) is True for key in encoders)
    sees = bool(header.get("vision.block_count"))
    if kind in ("projector", "mmproj") or (header.block_count == 0 and (sees or encodes)):
        return "projector"
    return "model"


def _read_progress(parts: Iterable[Part]) -> tuple[str, ...]:
    lines: list[str] = []
    for part in parts:
        whole = part.layer.kind == "model" and not part.layer.origin
        lines += [PARSING, VERIFIED] if whole else [PARSING]
    return tuple(lines)


def _configure(start: Start, recipe: Recipe) -> tuple[Config, Mapping[str, Any]]:
    """The new model's config, and the parameters that its architecture brings along."""
    models = [part.header for part in start.parts if part.layer.kind == "model" and part.header]
    settings = start.config
    for header in models[:1]:
        settings = replace(
            settings,
            format=settings.format or "gguf",
            family=header.architecture,
            size=numbers.parameter_size(header.parameter_count),
            file_type=header.file_type,
        )
    if models:
        settings = replace(settings, families=tuple(header.architecture for header in models))
    settings = _with_draft(settings, start.parts)
    given = dict(recipe.config)
    capabilities = (*settings.capabilities, *given.pop("capabilities", ()))
    settings = replace(settings, **given, capabilities=tuple(dict.fromkeys(capabilities)))
    renderer, extra = _RENDERED.get(models[0].architecture if models else "", ("", {}))
    if settings.renderer and settings.parser:
        extra = {}
    settings = replace(
        settings, renderer=settings.renderer or renderer, parser=settings.parser or renderer
    )
    return settings, extra


def _with_draft(settings: Config, parts: Iterable[Part]) -> Config:
    for part in parts:
        if part.layer.kind == "draft" and part.header:
            draft = {"model_format": "gguf", "architecture": part.header.architecture}
            return replace(settings, draft=draft)
    return settings


def _assemble(
    blobs: Blobs, start: Start, recipe: Recipe, extra: Mapping[str, Any]
) -> tuple[tuple[Layer, ...], list[str]]:
    """All layers in Ollama's order, new ones stored, with a line of progress for each."""
    options = {**extra, **start.parameters, **recipe.parameters}
    texts: list[tuple[str, bytes]] = [
        ("template", recipe.template.encode()),
        ("system", recipe.system.encode()),
        *(("license", text.encode()) for text in recipe.licenses),
        ("params", parameters.encode(options) if options else b""),
        ("messages", encode_messages(recipe.messages) if recipe.messages else b""),
    ]
    replaced = {kind for kind, data in texts if data} - {"license"}
    layers: list[Layer] = []
    told: list[str] = []
    for part in start.parts:
        if part.layer.kind not in replaced:
            blobs.touch(part.layer.digest)
            layers.append(part.layer)
            told.append(f"using existing layer {part.layer.digest}")
    for kind, data in texts:
        if data:
            digest, new = blobs.store(data)
            layers.append(Layer(LAYER_TYPE + kind, digest, len(data)))
            told.append(f"{'creating new' if new else 'using existing'} layer {digest}")
    return tuple(layers), told
