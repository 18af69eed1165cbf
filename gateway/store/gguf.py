"""Read the header of a GGUF file: metadata and tensor shapes, never the weights.

Arrays are stepped over and leave a marker. A real vocabulary has several hundred thousand strings,
and nobody here needs them but a verbose `show` (`read_arrays`).
"""

import os
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import FileIO
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from gateway.errors import Invalid
from gateway.golang.strconv import shortest_float32
from gateway.store.ggml import ARRAY, FILE_TYPES, SCALARS, STRING, TENSOR_TYPES

UNKNOWN = "unknown"
_WINDOW = 64 << 10
_GLANCE = 4 << 10
"""Bytes: most files say all that a list needs within these."""
_LONGEST_STRING = 16 << 20
_LONGEST_ARRAY = 64 << 20
_MOST_DIMENSIONS = 4
_RANK = 4
"""The pooling of a classifier that says how well two texts go together."""


@dataclass(frozen=True, slots=True)
class Array:
    """Stands for an array that was not read: `kind` of its elements, and how many."""

    kind: str
    length: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """`kind` names the type (`F16`, `Q4_K`); `shape` has the fastest dimension first."""

    name: str
    kind: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Header:
    """Metadata and tensors in file order, with `Array` for every array; file size in bytes."""

    metadata: Mapping[str, Any]
    tensors: tuple[Tensor, ...]
    size: int

    def get(self, key: str, default: Any = None) -> Any:
        """The value of `key`; one outside `general.` and `tokenizer.` is the architecture's."""
        return lookup(self.metadata, key, default)

    @property
    def architecture(self) -> str:
        """`general.architecture`, or `unknown`."""
        return architecture(self.metadata)

    @property
    def parameter_count(self) -> int:
        """Elements of all tensors; what the metadata claims is not asked."""
        return sum(prod(tensor.shape) for tensor in self.tensors)

    @property
    def file_type(self) -> str:
        """The declared quantization as create and show print it: F32 reads as `unknown` there."""
        return file_type(self.metadata)

    @property
    def context_length(self) -> int:
        """Positions the model was trained for; 0 when not said."""
        return count(self.get("context_length"))

    @property
    def embedding_length(self) -> int:
        """Width of the residual stream; 0 when not said."""
        return count(self.get("embedding_length"))

    @property
    def block_count(self) -> int:
        """Number of layers; 0 when not said."""
        return count(self.get("block_count"))

    @property
    def chat_template(self) -> str | None:
        """The Jinja template that came with the tokenizer."""
        value = self.get("tokenizer.chat_template")
        return value if isinstance(value, str) and value else None

    @property
    def pooling(self) -> bool:
        """Whether the model pools its outputs, which makes it an embedding model."""
        return self.get("pooling_type") is not None

    @property
    def ranks(self) -> bool:
        """Whether its output is not a vector but how well a document answers a query."""
        return bool(self.get("pooling_type") == _RANK)


def architecture(metadata: Mapping[str, Any]) -> str:
    """`general.architecture`, or `unknown`."""
    value = metadata.get("general.architecture")
    return value if isinstance(value, str) and value else UNKNOWN


def lookup(metadata: Mapping[str, Any], key: str, default: Any = None) -> Any:
    """The value of `key`, with the architecture put in front where the format wants it."""
    if not key.startswith(("general.", "tokenizer.")):
        key = f"{architecture(metadata)}.{key}"
    return metadata.get(key, default)


def file_type(metadata: Mapping[str, Any], *, zero: str = UNKNOWN) -> str:
    """The name of `general.file_type`; `zero` is what type 0 is called (Ollama's list says F32)."""
    value = metadata.get("general.file_type")
    if not isinstance(value, int) or isinstance(value, bool):
        return UNKNOWN
    return FILE_TYPES.get(value, UNKNOWN) if value else zero


def count(value: Any) -> int:
    """`value` if it is a count, else 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def read_header(path: str | Path) -> Header:
    """Metadata (arrays as `Array` markers) and tensors; Invalid when the file is no sound GGUF.

    Sound means: readable to the end of the header, and every tensor's data lies inside the file.
    """
    with open(path, "rb") as file:
        source = _open(file)
        tensors, pairs = source.number("Q"), source.number("Q")
        metadata = dict(_pairs(source, pairs))
        found = [_tensor(source) for _ in range(tensors)]
        start = _aligned(source.position, metadata.get("general.alignment", 32))
        for tensor, offset, length in found:
            if start + offset + length > source.size:
                raise Invalid(f'tensor "{tensor.name}" runs past the end of the file')
        return Header(metadata, tuple(tensor for tensor, _, _ in found), source.size)


def read_outline(path: str | Path) -> Mapping[str, Any]:
    """The metadata before the first tokenizer key: cheap on every file, and all a list needs."""
    with open(path, "rb", buffering=0) as file:
        source = _open(file, _GLANCE)
        _, pairs = source.number("Q"), source.number("Q")
        outline: dict[str, Any] = {}
        for key, value in _pairs(source, pairs):
            if key.startswith("tokenizer."):
                break
            outline[key] = value
        return outline


def read_arrays(path: str | Path) -> dict[str, list[Any]]:
    """Every array of the metadata in full, by key."""
    with open(path, "rb") as file:
        source = _open(file)
        _, pairs = source.number("Q"), source.number("Q")
        values = _pairs(source, pairs, whole=True)
        return {key: value for key, value in values if isinstance(value, list)}


_MANY, _SHORT = 64, 128
_RUN = re.compile(
    b"(?:%b){%d}+"
    % (b"|".join(re.escape(b"%c" % n) + b"\\0{7}.{%d}" % n for n in range(_SHORT)), _MANY),
    re.DOTALL,
)
"""So many strings of less than so many bytes each, one after the other."""
_NONE = re.compile(b"(?!)")


class _Source:
    """A file read forward through a window, so that long arrays are stepped over unread."""

    def __init__(self, file: BinaryIO | FileIO, size: int, window: int) -> None:
        self.size = size
        self._file = file
        self._width = window
        self._window = b""
        self._start = 0
        self._at = 0
        self._order = "<"
        self._codes: dict[str, struct.Struct] = {}

    @property
    def position(self) -> int:
        return self._start + self._at

    def big_endian(self) -> None:
        self._order = ">"
        self._codes.clear()

    def number(self, code: str) -> Any:
        """One value of a `struct` code."""
        packed = self._codes.get(code) or self._code(code)
        if self._at + packed.size > len(self._window):
            self._need(packed.size)
        at = self._at
        self._at = at + packed.size
        return packed.unpack_from(self._window, at)[0]

    def numbers(self, code: str, length: int) -> list[Any]:
        return list(struct.unpack(f"{self._order}{length}{code}", self.take(length * _width(code))))

    def text(self) -> str:
        """A string; bytes that are not UTF-8 become U+FFFD."""
        length = self.number("Q")
        if length > _LONGEST_STRING:
            raise Invalid(f"a string of {length} bytes is too long for a GGUF header")
        return self.take(length).decode(errors="replace")

    def take(self, length: int) -> bytes:
        self._need(length)
        self._at += length
        return self._window[self._at - length : self._at]

    def skip(self, length: int) -> None:
        if self.position + length > self.size:
            raise Invalid("the file ends inside its header")
        self._at += length

    def skip_texts(self, number: int) -> None:
        """Step over `number` strings, short ones many at a time; nothing else takes as long."""
        unpack = self._code("Q").unpack_from
        run = _RUN.match if self._order == "<" else _NONE.match
        while number:
            self._need(8)
            window, at, last = self._window, self._at, len(self._window) - 8
            while number and at <= last:
                if number >= _MANY and (found := run(window, at)):
                    at = found.end()
                    number -= _MANY
                    continue
                for _ in range(min(number, _MANY)):
                    if at > last:
                        break
                    at += 8 + unpack(window, at)[0]
                    number -= 1
            self._at = at
            if self.position > self.size:
                raise Invalid("the file ends inside its header")

    def _code(self, code: str) -> struct.Struct:
        packed = self._codes.get(code)
        if packed is None:
            packed = self._codes[code] = struct.Struct(self._order + code)
        return packed

    def _need(self, length: int) -> None:
        """Have `length` bytes from here on in the window."""
        if self._at + length <= len(self._window):
            return
        start = self.position
        if start + length > self.size:
            raise Invalid("the file ends inside its header")
        self._file.seek(start)
        self._window = self._file.read(max(length, self._width)) or b""
        self._start, self._at = start, 0
        if len(self._window) < length:
            raise Invalid("the file ends inside its header")


def _open(file: BinaryIO | FileIO, window: int = _WINDOW) -> _Source:
    """A source behind magic and version, set to the file's byte order."""
    source = _Source(file, os.fstat(file.fileno()).st_size, window)
    if source.size < 8:
        raise Invalid("invalid file magic")
    magic = source.take(4)
    if magic not in (b"GGUF", b"FUGG"):
        raise Invalid("invalid file magic")
    version = source.number("I")
    # Big-endian files are marked by turned magic bytes, or only show it in the version.
    if magic == b"FUGG" or version & 0xFFFF == 0:
        source.big_endian()
        version = int.from_bytes(version.to_bytes(4, "little"), "big")
    if version not in (2, 3):
        raise Invalid(f"GGUF version {version} is not supported")
    return source


def _pairs(source: _Source, number: int, whole: bool = False) -> Iterator[tuple[str, Any]]:
    for _ in range(number):
        key = source.text()
        kind = source.number("I")
        yield key, _array(source, whole) if kind == ARRAY else _value(source, kind)


def _value(source: _Source, kind: int) -> Any:
    if kind == STRING:
        return source.text()
    if kind not in SCALARS:
        raise Invalid(f"a GGUF value cannot have type {kind}")
    value = source.number(SCALARS[kind][1])
    return shortest_float32(value) if SCALARS[kind][0] == "f32" else value


def _array(source: _Source, whole: bool) -> Array | list[Any]:
    kind, length = source.number("I"), source.number("Q")
    if length > _LONGEST_ARRAY:
        raise Invalid(f"an array of {length} elements is too long for a GGUF header")
    if kind == STRING:
        if whole:
            return [source.text() for _ in range(length)]
        source.skip_texts(length)
        return Array("string", length)
    if kind not in SCALARS:
        raise Invalid(f"a GGUF array cannot hold type {kind}")
    name, code = SCALARS[kind]
    if whole:
        values = source.numbers(code, length)
        return [shortest_float32(value) for value in values] if name == "f32" else values
    source.skip(length * _width(code))
    return Array(name, length)


def _tensor(source: _Source) -> tuple[Tensor, int, int]:
    """A tensor, the offset of its data behind the header, and its length in bytes."""
    name = source.text()
    dimensions = source.number("I")
    if dimensions > _MOST_DIMENSIONS:
        raise Invalid(f'tensor "{name}" has {dimensions} dimensions')
    shape = tuple(source.numbers("Q", dimensions))
    number, offset = source.number("I"), source.number("Q")
    if number not in TENSOR_TYPES:
        # A type newer than this table: the engine will say whether it can read it. No element
        # takes less than half a bit, so that a shape cannot claim more than any file could hold.
        return Tensor(name, f"{UNKNOWN}({number})", shape), offset, prod(shape) // 16
    kind, elements, width = TENSOR_TYPES[number]
    if shape and shape[0] % elements:
        raise Invalid(f'tensor "{name}" does not fill whole blocks of {kind}')
    return Tensor(name, kind, shape), offset, prod(shape) // elements * width


def _aligned(position: int, alignment: Any) -> int:
    step = count(alignment)
    if step == 0:
        raise Invalid("general.alignment must be a positive number")
    return position + -position % step


def _width(code: str) -> int:
    return struct.calcsize(f"<{code}")
