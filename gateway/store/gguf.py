"""Read the header of a GGUF file: metadata and tensor shapes, never the weights.

Arrays are skipped and leave a marker. A real vocabulary has several hundred thousand strings, and
only a verbose `show` needs them (`read_arrays`). The reader is our own because llama.cpp's `gguf`
package builds every array, and needs numpy.
"""

import os
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import FileIO
from math import prod
from pathlib import Path
from typing import BinaryIO

from gateway.errors import Invalid
from gateway.golang.strconv import shortest_float32

# The numbers of the format, as llama.cpp defines them in `ggml/include/ggml.h`,
# `include/llama.h` and `ggml/include/gguf.h`.

# Id -> (name, elements a block, bytes a block).
TENSOR_TYPES: Mapping[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
}

FILE_TYPES: Mapping[int, str] = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4_MOE",
    39: "NVFP4",
    40: "Q1_0",
}

# Id -> (name, `struct` code). Strings and arrays have no fixed size and stand apart.
SCALAR_TYPES: Mapping[int, tuple[str, str]] = {
    0: ("u8", "B"),
    1: ("i8", "b"),
    2: ("u16", "H"),
    3: ("i16", "h"),
    4: ("u32", "I"),
    5: ("i32", "i"),
    6: ("f32", "f"),
    7: ("bool", "?"),
    10: ("u64", "Q"),
    11: ("i64", "q"),
    12: ("f64", "d"),
}
STRING_TYPE = 8
ARRAY_TYPE = 9

UNKNOWN = "unknown"
_WINDOW = 64 << 10
"""Bytes read at a time."""
_OUTLINE_WINDOW = 4 << 10
"""Bytes: in most files the tokenizer's fields begin within these."""
# A damaged or hostile file may claim any length; these bound the memory that one costs.
_LONGEST_STRING = 16 << 20
_LONGEST_ARRAY = 64 << 20
_MOST_DIMENSIONS = 4
"""GGML_MAX_DIMS: llama.cpp reads no tensor with more."""
_RANK_POOLING = 4
"""LLAMA_POOLING_TYPE_RANK: a classifier whose output is how well a document answers a query."""


@dataclass(frozen=True, slots=True)
class Array:
    """An array that was not read: the type of its elements, and how many there are."""

    kind: str
    length: int


Scalar = int | float | str
"""A metadata value that is no array; a bool is an int to the type checker."""
Metadata = Mapping[str, Scalar | Array]


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """`kind` names the type (`F16`, `Q4_K`); `shape` has the fastest dimension first."""

    name: str
    kind: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Header:
    """Metadata and tensors in file order, with `Array` for every array; file size in bytes."""

    metadata: Metadata
    tensors: tuple[TensorInfo, ...]
    size: int

    def get(self, key: str) -> Scalar | Array | None:
        """The value of `key`; one outside `general.` and `tokenizer.` is the architecture's."""
        return lookup(self.metadata, key)

    @property
    def architecture(self) -> str:
        """`general.architecture`, or `unknown`."""
        return architecture(self.metadata)

    @property
    def parameter_count(self) -> int:
        """Elements of all tensors, whatever the metadata claims."""
        return sum(prod(tensor.shape) for tensor in self.tensors)

    @property
    def file_type(self) -> str:
        """The declared quantization as create and show print it: F32 reads as `unknown` there."""
        return file_type(self.metadata)

    @property
    def context_length(self) -> int:
        """Positions the model was trained for; 0 when unknown."""
        return count(self.get("context_length"))

    @property
    def embedding_length(self) -> int:
        """Width of the residual stream; 0 when unknown."""
        return count(self.get("embedding_length"))

    @property
    def block_count(self) -> int:
        """Number of layers; 0 when unknown."""
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
        return self.get("pooling_type") == _RANK_POOLING


def architecture(metadata: Metadata) -> str:
    """`general.architecture`, or `unknown`."""
    value = metadata.get("general.architecture")
    return value if isinstance(value, str) and value else UNKNOWN


def lookup(metadata: Metadata, key: str) -> Scalar | Array | None:
    """The value of `key`, with the architecture put in front where the format wants it."""
    if not key.startswith(("general.", "tokenizer.")):
        key = f"{architecture(metadata)}.{key}"
    return metadata.get(key)


def file_type(metadata: Metadata, *, zero: str = UNKNOWN) -> str:
    """The name of `general.file_type`; `zero` is what type 0 is called (Ollama's list says F32)."""
    value = metadata.get("general.file_type")
    # A bool is an int in Python and may be written in its place.
    if not isinstance(value, int) or isinstance(value, bool):
        return UNKNOWN
    return FILE_TYPES.get(value, UNKNOWN) if value else zero


def count(value: object) -> int:
    """`value` if it is a count, else 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def read_header(path: str | Path) -> Header:
    """Metadata (arrays as `Array` markers) and tensors; Invalid when the file is no sound GGUF.

    Sound means: readable to the end of the header, and every tensor's data lies inside the file.
    """
    with open(path, "rb") as file:
        reader = _open(file)
        tensors, pairs = reader.integer("Q"), reader.integer("Q")
        metadata = dict(_pairs(reader, pairs))
        infos = [_tensor(reader) for _ in range(tensors)]
        alignment = count(metadata.get("general.alignment", 32))
        if alignment == 0:
            raise Invalid("general.alignment must be a positive number")
        start = reader.position + -reader.position % alignment
        for info, offset, length in infos:
            # A file that was cut off has a sound header, and would fail only when it is loaded.
            if start + offset + length > reader.size:
                raise Invalid(f'tensor "{info.name}" runs past the end of the file')
        return Header(metadata, tuple(info for info, _, _ in infos), reader.size)


def read_outline(path: str | Path) -> Metadata:
    """The metadata before the first tokenizer key: cheap on every file, and all a list needs."""
    # A list opens the file of every model, so that this must come to one read of a page for most.
    # Unbuffered: the window is the buffer, and Python's would read past it.
    with open(path, "rb", buffering=0) as file:
        reader = _open(file, _OUTLINE_WINDOW)
        _, pairs = reader.integer("Q"), reader.integer("Q")
        outline: dict[str, Scalar | Array] = {}
        for key, value in _pairs(reader, pairs):
            if key.startswith("tokenizer."):
                break
            outline[key] = value
        return outline


def read_arrays(path: str | Path) -> dict[str, list[Scalar]]:
    """Every array of the metadata in full, by key."""
    with open(path, "rb") as file:
        reader = _open(file)
        _, pairs = reader.integer("Q"), reader.integer("Q")
        arrays: dict[str, list[Scalar]] = {}
        for _ in range(pairs):
            key, kind = reader.text(), reader.integer("I")
            if kind == ARRAY_TYPE:
                name, code, length = _array_type(reader)
                if not code:
                    arrays[key] = [reader.text() for _ in range(length)]
                    continue
                values = reader.scalars(code, length)
                arrays[key] = [_shortest(value) for value in values] if name == "f32" else values
            else:
                _scalar(reader, kind)
        return arrays


_RUN_LENGTH, _SHORT = 64, 128
# Stepping over strings one by one in Python takes most of the time that a header takes. This
# pattern steps over 64 in one go, as long as each has less than 128 bytes: a length of 8 bytes,
# little-endian, then that many bytes. Possessive (`+`), for nothing is gained by backtracking.
_SHORT_STRINGS = re.compile(
    b"(?:%b){%d}+"
    % (b"|".join(re.escape(b"%c" % n) + b"\\0{7}.{%d}" % n for n in range(_SHORT)), _RUN_LENGTH),
    re.DOTALL,
)
_NO_MATCH = re.compile(b"(?!)")


class _HeaderReader:
    """A file read forward through a window, so that long arrays are skipped unread."""

    def __init__(self, file: BinaryIO | FileIO, size: int, window: int) -> None:
        self.size = size
        self._file = file
        self._width = window
        self._window = b""
        self._start = 0
        self._at = 0
        self._order = "<"
        # Compiled once for each code: a header has thousands of numbers.
        self._codes: dict[str, struct.Struct] = {}

    @property
    def position(self) -> int:
        return self._start + self._at

    def big_endian(self) -> None:
        self._order = ">"
        self._codes.clear()

    def integer(self, code: str) -> int:
        """One value of an integer `struct` code."""
        packed = self._codes.get(code) or self._code(code)
        if self._at + packed.size > len(self._window):
            self._need(packed.size)
        at = self._at
        self._at = at + packed.size
        value: int = packed.unpack_from(self._window, at)[0]
        return value

    def scalars(self, code: str, length: int) -> list[Scalar]:
        return list(struct.unpack(f"{self._order}{length}{code}", self.take(length * _width(code))))

    def text(self) -> str:
        """A string; bytes that are not UTF-8 become U+FFFD."""
        # Vocabularies have tokens that are pieces of a character.
        length = self.integer("Q")
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
        # No seek yet: it comes with the next value, if that is outside the window.
        self._at += length

    def skip_texts(self, number: int) -> None:
        """Step over `number` strings, short ones many at a time."""
        unpack = self._code("Q").unpack_from
        # Big-endian files are rare enough to go the slow way.
        run = _SHORT_STRINGS.match if self._order == "<" else _NO_MATCH.match
        while number:
            self._need(8)
            window, at, last = self._window, self._at, len(self._window) - 8
            while number and at <= last:
                if number >= _RUN_LENGTH and (match := run(window, at)):
                    at = match.end()
                    number -= _RUN_LENGTH
                    continue
                for _ in range(min(number, _RUN_LENGTH)):
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
        # A seek, even a short one forward: what was skipped is never read.
        self._file.seek(start)
        self._window = self._file.read(max(length, self._width)) or b""
        self._start, self._at = start, 0
        if len(self._window) < length:
            raise Invalid("the file ends inside its header")


def _open(file: BinaryIO | FileIO, window: int = _WINDOW) -> _HeaderReader:
    """A reader behind magic and version, set to the file's byte order."""
    reader = _HeaderReader(file, os.fstat(file.fileno()).st_size, window)
    if reader.size < 8:
        raise Invalid("invalid file magic")
    magic = reader.take(4)
    if magic not in (b"GGUF", b"FUGG"):
        raise Invalid("invalid file magic")
    version = reader.integer("I")
    # Big-endian files either have the magic reversed, or only show it in the version.
    if magic == b"FUGG" or version & 0xFFFF == 0:
        reader.big_endian()
        version = int.from_bytes(version.to_bytes(4, "little"), "big")
    # Version 1 has 32-bit lengths, and llama.cpp does not read it any more.
    if version not in (2, 3):
        raise Invalid(f"GGUF version {version} is not supported")
    return reader


def _pairs(reader: _HeaderReader, number: int) -> Iterator[tuple[str, Scalar | Array]]:
    for _ in range(number):
        key, kind = reader.text(), reader.integer("I")
        if kind != ARRAY_TYPE:
            yield key, _scalar(reader, kind)
            continue
        name, code, length = _array_type(reader)
        if code:
            reader.skip(length * _width(code))
        else:
            reader.skip_texts(length)
        yield key, Array(name, length)


def _scalar(reader: _HeaderReader, kind: int) -> Scalar:
    if kind == STRING_TYPE:
        return reader.text()
    if kind not in SCALAR_TYPES:
        raise Invalid(f"a GGUF value cannot have type {kind}")
    name, code = SCALAR_TYPES[kind]
    (value,) = reader.scalars(code, 1)
    return _shortest(value) if name == "f32" else value


def _shortest(value: Scalar) -> Scalar:
    # Go prints a float32 by its shortest decimal; the double that `struct` makes has more digits.
    return shortest_float32(value) if not isinstance(value, str) else value


def _array_type(reader: _HeaderReader) -> tuple[str, str, int]:
    """Of the array that begins here: the name and `struct` code of its elements ("" for strings),
    and how many there are.
    """
    kind, length = reader.integer("I"), reader.integer("Q")
    if length > _LONGEST_ARRAY:
        raise Invalid(f"an array of {length} elements is too long for a GGUF header")
    if kind == STRING_TYPE:
        return "string", "", length
    # llama.cpp writes no arrays of arrays, and refuses them as well.
    if kind not in SCALAR_TYPES:
        raise Invalid(f"a GGUF array cannot hold type {kind}")
    return *SCALAR_TYPES[kind], length


def _tensor(reader: _HeaderReader) -> tuple[TensorInfo, int, int]:
    """A tensor, the offset of its data behind the header, and its length in bytes."""
    name = reader.text()
    dimensions = reader.integer("I")
    if dimensions > _MOST_DIMENSIONS:
        raise Invalid(f'tensor "{name}" has {dimensions} dimensions')
    shape = tuple(reader.integer("Q") for _ in range(dimensions))
    number, offset = reader.integer("I"), reader.integer("Q")
    if number not in TENSOR_TYPES:
        # A type newer than this table: the engine will say whether it can read it. No element
        # takes less than half a bit, so that a shape cannot claim more than any file could hold.
        return TensorInfo(name, f"{UNKNOWN}({number})", shape), offset, prod(shape) // 16
    kind, elements, width = TENSOR_TYPES[number]
    if shape and shape[0] % elements:
        raise Invalid(f'tensor "{name}" does not fill whole blocks of {kind}')
    return TensorInfo(name, kind, shape), offset, prod(shape) // elements * width


def _width(code: str) -> int:
    return struct.calcsize(f"<{code}")
