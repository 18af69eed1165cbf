"""Make a model: blobs and a recipe in, a manifest out.

`prepare` checks all that can go wrong before the first byte is written; the caller then makes the
conversions that it lists, with `quantize.convert`; `finish` stores the small layers, then the
manifest. The bytes are Ollama's own, so that blobs are shared with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gateway.errors import Invalid
from gateway.golang.strconv import parameter_size
from gateway.names import Name
from gateway.store import json_files, manifests
from gateway.store.blobs import Blobs
from gateway.store.gguf import file_type, read_header
from gateway.store.gguf_files import ModelPart, read_parts, recognise, require
from gateway.store.json_files import Config
from gateway.store.library import Library
from gateway.store.manifests import CONFIG_TYPE, LAYER_TYPE, Layer, Manifest
from gateway.store.quantize import (
    COPY,
    Conversion,
    ConvertedBlob,
    needs_conversion,
    quantize_flags,
)
from gateway.store.recipe import Recipe
from gateway.templates.detect import BundledTemplate, detect

PARSING = "parsing GGUF"
VERIFIED = "verifying conversion"
WRITING = "writing manifest"
SUCCESS = "success"

# Architectures that Ollama gives a renderer, a parser and parameters unless the request does.
_RENDERERS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "gemma4": ("gemma4", {"stop": ["<turn|>"]}),
    "laguna": ("laguna", {}),
    "nemotron_h": ("nemotron-3-nano", {}),
    "nemotron_h_moe": ("nemotron-3-nano", {}),
    "nemotron_h_omni": ("nemotron-3-nano", {}),
}


@dataclass(frozen=True, slots=True)
class CreatePlan:
    """What a model is built on: its files and what it inherits."""

    parts: tuple[ModelPart, ...]
    config: Config
    parameters: Mapping[str, object]
    progress: tuple[str, ...] = ()
    template: BundledTemplate | None = None
    """The one that fits the chat template of an uploaded model."""
    conversions: tuple[Conversion, ...] = ()
    """What has to be made of some parts before `finish`."""


def create(library: Library, name: Name, recipe: Recipe) -> list[str]:
    """Make `name` by a recipe without conversions; returns the progress in Ollama's words.

    Raises Invalid or NotFound before anything is written.
    """
    with library.lock:
        plan = prepare(library, recipe)
        assert not plan.conversions, "converting takes a program: see gateway.store.quantize"
        return [*plan.progress, *finish(library, name, recipe, plan, {})]


def prepare(library: Library, recipe: Recipe) -> CreatePlan:
    """Check all that the recipe names; nothing is written. Raises Invalid or NotFound."""
    blobs = library.blobs
    plan = _from_base(library, recipe.base) if recipe.base else _from_files(blobs, recipe)
    require(blobs, [*recipe.adapters.values(), *recipe.drafts.values()])
    adapters = read_parts(blobs, recipe.adapters)
    for part in adapters:
        if part.layer.kind != "adapter":
            raise Invalid(f'adapter "{part.layer.origin or part.layer.digest}" is not a GGUF LoRA')
    drafts = [
        replace(part, layer=replace(part.layer, media_type=f"{LAYER_TYPE}draft"))
        for part in read_parts(blobs, recipe.drafts)
    ]
    parts = (*plan.parts, *adapters, *drafts)
    conversions: list[Conversion] = []
    progress: list[str] = []
    for index, part in enumerate(parts):
        conversion = _conversion(index, part, recipe)
        progress += [PARSING] * part.files
        if conversion is not None:
            conversions.append(conversion)
        elif part.files and part.layer.kind == "model" and not part.layer.origin:
            # Ollama passes these through its quantiser all the same, and its clients see the line.
            progress.append(VERIFIED)
    return replace(plan, parts=parts, progress=tuple(progress), conversions=tuple(conversions))


def finish(
    library: Library,
    name: Name,
    recipe: Recipe,
    plan: CreatePlan,
    converted: Mapping[int, ConvertedBlob],
) -> list[str]:
    """Write the layers and the manifest; `converted` has a blob for the part of every conversion.

    Returns the rest of the progress, the last being `success`. Raises NotFound when a blob has gone
    since `prepare`.
    """
    with library.lock:
        blobs = library.blobs
        parts = list(plan.parts)
        for index, blob in converted.items():
            # Read from the file: llama-quantize has written a header of its own into it.
            header = read_header(blobs.path(blob.digest))
            layer = Layer(parts[index].layer.media_type, blob.digest, header.size)
            parts[index] = ModelPart(layer, header, (blob.digest,), new=blob.new)
        plan = replace(plan, parts=tuple(parts))
        # Again, for `prepare` was not under this lock: a conversion takes minutes, and meanwhile
        # another request may have deleted a model together with a blob that both use.
        require(blobs, [part.layer.digest for part in parts])
        config, extra = _configure(plan, recipe)
        layers, progress = _assemble(blobs, plan, recipe, extra)
        data = json_files.encode_config(config)
        digest, _ = blobs.store(data)
        manifest = Manifest(layers, Layer(CONFIG_TYPE, digest, len(data)))
        library.publish(name, manifests.encode(manifest))
    return [*progress, WRITING, SUCCESS]


def _from_base(library: Library, base: Name) -> CreatePlan:
    """Start from a stored model: all its layers, marked with its name, and part of its config."""
    model = library.get(base)
    # Its weights are on another server, so there is nothing here to build on.
    config = model.config
    if config.remote_host:
        raise Invalid("remote models are not supported")
    parts = tuple(
        ModelPart(
            replace(layer, origin=model.name.short),
            model.header if layer.digest == model.weights_digest else None,
            (layer.digest,),
        )
        for layer in model.manifest.layers
    )
    require(library.blobs, [part.layer.digest for part in parts])
    # A readable GGUF describes itself once more in `_configure`, so the rest is not taken over.
    if model.header is not None:
        config = Config(
            format=config.format,
            renderer=config.renderer,
            parser=config.parser,
            requires=config.requires,
            capabilities=config.capabilities,
            draft=config.draft,
        )
    return CreatePlan(parts, config, model.parameters)


def _from_files(blobs: Blobs, recipe: Recipe) -> CreatePlan:
    """Start from uploaded GGUF files, models and projectors."""
    require(blobs, recipe.files.values())
    recognise(blobs, recipe.files)
    parts = read_parts(blobs, recipe.files)
    models = [part.header for part in parts if part.layer.kind == "model" and part.header]
    if not models:
        raise Invalid("no base model was found")
    templates = (detect(header.chat_template) for header in models if header.chat_template)
    template = next((bundled for bundled in templates if bundled), None)
    # The two belong together: a turn of this template ends with one of these.
    stop = {"stop": list(template.stop)} if template else {}
    return CreatePlan(parts, Config(), stop, template=template)


def _conversion(index: int, part: ModelPart, recipe: Recipe) -> Conversion | None:
    """What a part must be converted into, if at all. Raises Invalid when it cannot be."""
    draft = part.layer.kind == "draft"
    target = recipe.draft_quantize if draft else recipe.quantize
    if part.layer.kind not in ("model", "draft"):
        if part.split:
            raise Invalid(f'split GGUF "{part.layer.origin}" cannot be merged: no model')
        return None
    if not target and not part.split:
        return None
    if part.header is None:
        raise Invalid("the weights cannot be read, so they cannot be quantized")
    quantizes = needs_conversion(part.header, target, draft=draft)
    if not quantizes and not part.split:
        return None
    if part.towers:
        raise Invalid("a model with vision or audio tensors of its own cannot be converted")
    return Conversion(
        part=index,
        sources=part.sources,
        size=part.header.size,
        origin=file_type(part.header.metadata, zero="F32"),
        target=target if quantizes else COPY,
        flags=quantize_flags(part.header, target) if quantizes else (),
    )


def _configure(plan: CreatePlan, recipe: Recipe) -> tuple[Config, Mapping[str, object]]:
    """The new model's config, and the parameters that its architecture brings along."""
    models = [part.header for part in plan.parts if part.layer.kind == "model" and part.header]
    drafts = [part.header for part in plan.parts if part.layer.kind == "draft" and part.header]
    config = plan.config
    if models:
        config = replace(
            config,
            format=config.format or "gguf",
            family=models[0].architecture,
            families=tuple(header.architecture for header in models),
            size=parameter_size(models[0].parameter_count),
            file_type=models[0].file_type,
        )
    if drafts:
        draft = {"model_format": "gguf", "architecture": drafts[0].architecture}
        config = replace(config, draft=draft)
    # Added, as in Ollama, where everything else of the request replaces.
    capabilities = (*config.capabilities, *recipe.config.get("capabilities", ()))
    config = replace(config, **recipe.config)
    config = replace(config, capabilities=tuple(dict.fromkeys(capabilities)))
    renderer, extra = _RENDERERS.get(models[0].architecture if models else "", ("", {}))
    if config.renderer and config.parser:
        # Both are the user's own choice, and so is what goes with them.
        extra = {}
    config = replace(config, renderer=config.renderer or renderer, parser=config.parser or renderer)
    return config, extra


def _assemble(
    blobs: Blobs, plan: CreatePlan, recipe: Recipe, extra: Mapping[str, object]
) -> tuple[tuple[Layer, ...], list[str]]:
    """All layers in Ollama's order, new ones stored, with a line of progress for each."""
    options = {**extra, **plan.parameters, **recipe.parameters}
    bundled = None if recipe.template else plan.template
    messages = recipe.messages
    texts: list[tuple[str, bytes]] = [
        ("template", (bundled.template if bundled else recipe.template).encode()),
        ("system", recipe.system.encode()),
        *(("license", text.encode()) for text in recipe.licenses),
        ("params", json_files.encode_parameters(options) if options else b""),
        ("messages", json_files.encode_messages(messages) if messages else b""),
    ]
    # A new layer takes the place of the base model's, but for licenses, which add up.
    replaced = {kind for kind, data in texts if data} - {"license"}
    layers: list[Layer] = []
    progress: list[str] = []
    for part in plan.parts:
        if part.layer.kind not in replaced:
            # The upload may be an hour old: without this a sweep could come before the manifest.
            blobs.touch(part.layer.digest)
            layers.append(part.layer)
            progress.append(_layer_status(part.layer.digest, part.new))
    for kind, data in texts:
        if data:
            digest, new = blobs.store(data)
            layers.append(Layer(LAYER_TYPE + kind, digest, len(data)))
            if bundled and kind == "template":
                progress.append(f"using autodetected template {bundled.name}")
            else:
                progress.append(_layer_status(digest, new))
    return tuple(layers), progress


def _layer_status(digest: str, new: bool) -> str:
    return f"{'creating new' if new else 'using existing'} layer {digest}"
