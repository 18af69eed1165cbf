"""Make a model: blobs and a recipe in, a manifest out.

What can go wrong is found before the first byte is written: `prepare` looks at the files, `finish`
stores small layers, then the manifest. What must be converted is so in between, by who calls.
Bytes are Ollama's own, so that blobs are shared with it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.errors import Invalid
from gateway.golang.strconv import parameter_size
from gateway.names import Name
from gateway.store import config, conversion, manifests, parameters
from gateway.store.blobs import Blobs
from gateway.store.config import Config
from gateway.store.conversion import COPY, Conversion
from gateway.store.gguf import file_type, read_header
from gateway.store.gguf_files import Part, read_parts, recognise, require
from gateway.store.library import Library
from gateway.store.manifests import CONFIG_TYPE, LAYER_TYPE, Layer, Manifest
from gateway.store.model import Model
from gateway.store.recipe import Recipe, encode_messages
from gateway.templates.detect import BundledTemplate, detect

PARSING = "parsing GGUF"
VERIFIED = "verifying conversion"
WRITING = "writing manifest"
SUCCESS = "success"

# Architectures that Ollama gives a renderer, a parser and parameters unless the request does.
_RENDERED: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "gemma4": ("gemma4", {"stop": ["<turn|>"]}),
    "laguna": ("laguna", {}),
    "nemotron_h": ("nemotron-3-nano", {}),
    "nemotron_h_moe": ("nemotron-3-nano", {}),
    "nemotron_h_omni": ("nemotron-3-nano", {}),
}


@dataclass(frozen=True, slots=True)
class Start:
    """What a model is built on: its files and what it inherits."""

    parts: tuple[Part, ...]
    config: Config
    parameters: Mapping[str, Any]
    progress: tuple[str, ...] = ()
    template: BundledTemplate | None = None
    """The one that fits the chat template of an uploaded model."""
    conversions: tuple[Conversion, ...] = ()
    """What `finish` wants to have been made of some parts."""


@dataclass(frozen=True, slots=True)
class Converted:
    """The blob that came of a conversion, and whether it was not there before."""

    digest: str
    new: bool


def create(library: Library, name: Name, recipe: Recipe) -> list[str]:
    """Make `name` by a recipe without conversions; returns the progress in Ollama's words.

    Raises Invalid or NotFound before anything is written.
    """
    with library.lock:
        start = prepare(library, recipe)
        assert not start.conversions, "converting takes a program: see gateway.store.quantize"
        return [*start.progress, *finish(library, name, recipe, start, {})]


def prepare(library: Library, recipe: Recipe) -> Start:
    """Look at all that the recipe names; nothing is written. Raises Invalid or NotFound."""
    blobs = library.blobs
    start = _from_base(library, recipe.base) if recipe.base else _from_files(blobs, recipe)
    return _with_conversions(_with_extras(blobs, start, recipe), recipe)


def finish(
    library: Library, name: Name, recipe: Recipe, start: Start, made: Mapping[int, Converted]
) -> list[str]:
    """Write the layers and the manifest; `made` has a blob for the part of every conversion.

    Returns the rest of the progress, the last being `success`. Raises NotFound when a blob has gone
    since `prepare`.
    """
    with library.lock:
        blobs = library.blobs
        start = replace(start, parts=_replaced(blobs, start.parts, made))
        require(blobs, [part.layer.digest for part in start.parts])
        settings, extra = _configure(start, recipe)
        layers, told = _assemble(blobs, start, recipe, extra)
        data = config.encode(settings)
        digest, _ = blobs.store(data)
        manifest = Manifest(layers, Layer(CONFIG_TYPE, digest, len(data)))
        library.publish(name, manifests.encode(manifest))
    return [*told, WRITING, SUCCESS]


def _from_base(library: Library, base: Name) -> Start:
    """Start from a stored model: all its layers, marked with its name, and part of its config."""
    model = library.get(base)
    if model.config.remote_host:
        raise Invalid("remote models are not supported")
    parts = tuple(_inherited(model, layer) for layer in model.manifest.layers)
    require(library.blobs, [part.layer.digest for part in parts])
    return Start(parts, _kept(model), model.parameters)


def _inherited(model: Model, layer: Layer) -> Part:
    header = model.header if layer.digest == model.weights_digest else None
    return Part(replace(layer, origin=model.name.short), header, (layer.digest,))


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
    require(blobs, recipe.files.values())
    recognise(blobs, recipe.files)
    parts = read_parts(blobs, recipe.files)
    models = [part.header for part in parts if part.layer.kind == "model" and part.header]
    if not models:
        raise Invalid("no base model was found")
    found = (detect(header.chat_template) for header in models if header.chat_template)
    template = next((one for one in found if one), None)
    stop = {"stop": list(template.stop)} if template else {}
    return Start(parts, Config(), stop, template=template)


def _with_extras(blobs: Blobs, start: Start, recipe: Recipe) -> Start:
    """Add adapters, then drafts."""
    require(blobs, [*recipe.adapters.values(), *recipe.drafts.values()])
    adapters = read_parts(blobs, recipe.adapters)
    for part in adapters:
        if part.layer.kind != "adapter":
            raise Invalid(f'adapter "{part.layer.origin or part.layer.digest}" is not a GGUF LoRA')
    drafts = tuple(
        replace(part, layer=replace(part.layer, media_type=f"{LAYER_TYPE}draft"))
        for part in read_parts(blobs, recipe.drafts)
    )
    return replace(start, parts=(*start.parts, *adapters, *drafts))


def _with_conversions(start: Start, recipe: Recipe) -> Start:
    """Find what has to be converted, and what is told of files before that."""
    found = [_conversion(index, part, recipe) for index, part in enumerate(start.parts)]
    lines: list[str] = []
    for part, needed in zip(start.parts, found, strict=True):
        lines += [PARSING] * part.files
        if part.files and _is_whole(part) and needed is None:
            lines.append(VERIFIED)
    conversions = tuple(one for one in found if one)
    return replace(start, progress=tuple(lines), conversions=conversions)


def _is_whole(part: Part) -> bool:
    """Whether Ollama would pass the file through its quantiser, and say so."""
    return part.layer.kind == "model" and not part.layer.origin


def _conversion(index: int, part: Part, recipe: Recipe) -> Conversion | None:
    """What has to be made of a part. Raises Invalid when it cannot be had."""
    draft = part.layer.kind == "draft"
    goal = recipe.draft_quantize if draft else recipe.quantize
    if part.layer.kind not in ("model", "draft"):
        if part.split:
            raise Invalid(f'split GGUF "{part.layer.origin}" cannot be merged: no model')
        return None
    if not goal and not part.split:
        return None
    if part.header is None:
        raise Invalid("the weights cannot be read, so they cannot be quantized")
    quantizes = conversion.needed(part.header, goal, draft=draft)
    if not quantizes and not part.split:
        return None
    if part.towers:
        raise Invalid("a model with vision or audio tensors of its own cannot be converted")
    return Conversion(
        part=index,
        sources=part.sources,
        size=part.header.size,
        origin=file_type(part.header.metadata, zero="F32"),
        target=goal if quantizes else COPY,
        flags=conversion.flags(part.header, goal) if quantizes else (),
    )


def _replaced(
    blobs: Blobs, parts: tuple[Part, ...], made: Mapping[int, Converted]
) -> tuple[Part, ...]:
    """The parts with those that were converted in the places of what they were made of."""
    new = list(parts)
    for index, result in made.items():
        header = read_header(blobs.path(result.digest))
        media_type = parts[index].layer.media_type
        layer = Layer(media_type, result.digest, header.size)
        new[index] = Part(layer, header, (result.digest,), new=result.new)
    return tuple(new)


def _configure(start: Start, recipe: Recipe) -> tuple[Config, Mapping[str, Any]]:
    """The new model's config, and the parameters that its architecture brings along."""
    models = [part.header for part in start.parts if part.layer.kind == "model" and part.header]
    settings = start.config
    for header in models[:1]:
        settings = replace(
            settings,
            format=settings.format or "gguf",
            family=header.architecture,
            size=parameter_size(header.parameter_count),
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
    found = None if recipe.template else start.template
    line = f"using autodetected template {found.name}" if found else ""
    texts: list[tuple[str, bytes]] = [
        ("template", (found.template if found else recipe.template).encode()),
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
            told.append(_told(part.layer.digest, part.new))
    for kind, data in texts:
        if data:
            digest, new = blobs.store(data)
            layers.append(Layer(LAYER_TYPE + kind, digest, len(data)))
            told.append(line if line and kind == "template" else _told(digest, new))
    return tuple(layers), told


def _told(digest: str, new: bool) -> str:
    return f"{'creating new' if new else 'using existing'} layer {digest}"
