"""Uploaded GGUF files as parts of a model: which role each has, and which belong together."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.errors import Invalid, NotFound
from gateway.store.blobs import Blobs
from gateway.store.gguf import Header, read_header
from gateway.store.manifests import LAYER_TYPE, Layer

_MAGIC = (b"GGUF", b"FUGG")
# Names of the tensors of towers (audio, vision, and what joins them to the text model) and of
# prediction heads, which may be inside the model's own file.
_TOWERS = ("a.", "mm.", "mtp.", "s.", "v.")
_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf")


@dataclass(frozen=True, slots=True)
class ModelPart:
    """A layer whose blob is stored already, and the header of its GGUF if that is known.

    A split file is one part: `sources` are the digests of its shards, in order, and the layer's
    digest and size are those of the first until they have been merged.
    """

    layer: Layer
    header: Header | None = None
    sources: tuple[str, ...] = ()
    files: int = 0
    """How many of the sources were uploaded for this model: all or none."""
    new: bool = False
    """Whether its blob was made for this model: not uploaded, and not another model's."""

    @property
    def split(self) -> bool:
        return len(self.sources) > 1

    @property
    def towers(self) -> bool:
        """Whether it has vision or audio tensors among those of a text model."""
        tensors = self.header.tensors if self.header else ()
        return any(tensor.name.startswith(_TOWERS) for tensor in tensors)


@dataclass(frozen=True, slots=True)
class _UploadedFile:
    name: str
    digest: str
    header: Header

    def split(self, key: str) -> int | None:
        """A number about shards; the key may have the architecture in front."""
        value = self.header.metadata.get(f"split.{key}", self.header.get(f"split.{key}"))
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def require(blobs: Blobs, digests: Iterable[str]) -> None:
    """Raise NotFound unless all these blobs are stored."""
    for digest in digests:
        if not blobs.exists(digest):
            raise NotFound(f'blob "{digest}" not found')


def recognise(blobs: Blobs, files: Mapping[str, str]) -> None:
    """Raise Invalid unless the files are GGUF, by name or else by their first bytes."""
    # By name alone, for the format has no magic: its files begin with a length.
    if any(name.endswith(".safetensors") for name in files):
        raise Invalid("importing safetensors is not supported yet; convert the model to GGUF first")
    by_name = any(name.endswith(".gguf") for name in files)
    if not by_name and not any(_is_gguf(blobs.path(digest)) for digest in files.values()):
        raise Invalid("unknown type")


def read_parts(blobs: Blobs, files: Mapping[str, str]) -> tuple[ModelPart, ...]:
    """The parts that uploaded files make: file name to digest. Raises Invalid for unsound ones."""
    groups: dict[tuple[str, int], list[_UploadedFile]] = {}
    for name, digest in files.items():
        path = blobs.path(digest)
        if not _is_gguf(path):
            raise Invalid("supplied file was not in GGUF format")
        file = _UploadedFile(name, digest, read_header(path))
        groups.setdefault(_group(file), []).append(file)
    parts: list[ModelPart] = []
    for (_, count), group in groups.items():
        if len(group) != count:
            raise Invalid(f'split GGUF "{group[0].name}" has {len(group)} shards, expected {count}')
        # The number is enough: file names are unique, and `_group` has checked the index in each.
        shards = sorted(group, key=lambda file: file.name)
        first = shards[0]
        header = replace(
            first.header,
            tensors=tuple(tensor for shard in shards for tensor in shard.header.tensors),
            size=sum(shard.header.size for shard in shards),
        )
        kind = header.get("general.type")
        encoders = ("has_vision_encoder", "has_audio_encoder")
        encodes = header.architecture == "clip" and any(header.get(key) is True for key in encoders)
        towers = header.block_count == 0 and (bool(header.get("vision.block_count")) or encodes)
        if kind == "adapter":
            role = "adapter"
        # Older projectors have no `general.type`: they are known by their towers, without text
        # layers.
        elif kind in ("projector", "mmproj") or towers:
            role = "projector"
        else:
            role = "model"
        part = ModelPart(
            Layer(LAYER_TYPE + role, first.digest, header.size),
            header,
            tuple(shard.digest for shard in shards),
            len(shards),
        )
        # Ollama rewrites plain models, so their layers name no file as their origin.
        rewritten = role == "model" and (part.split or not part.towers)
        if not rewritten:
            part = replace(part, layer=replace(part.layer, origin=first.name))
        parts.append(part)
    return tuple(parts)


def _is_gguf(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(4) in _MAGIC


def _group(file: _UploadedFile) -> tuple[str, int]:
    """What the shards of one split file share: the start of their names, and their number."""
    # Name and metadata must agree: llama.cpp finds the shards by their names, and merges them by
    # their metadata.
    count = file.split("count") or 0
    if count <= 1:
        return file.name, 1
    match = _SHARD.fullmatch(file.name)
    if match is None:
        raise Invalid(f'split GGUF "{file.name}" must use llama.cpp split filename pattern')
    if int(match[3]) != count:
        raise Invalid(
            f'split GGUF "{file.name}" filename count {int(match[3])} does not match '
            f"metadata count {count}"
        )
    number, index = file.split("no"), int(match[2])
    if number is None:
        raise Invalid(f'split GGUF "{file.name}" is missing split.no metadata')
    if not 1 <= index <= count:
        raise Invalid(f'split GGUF "{file.name}" has invalid shard index {index}')
    if index - 1 != number:
        raise Invalid(
            f'split GGUF "{file.name}" filename index {index} does not match '
            f"metadata index {number}"
        )
    return match[1], count
