"""Quantize weights with llama-quantize: what may be converted into what, and the program's run.

The program writes into a temporary file beside the blobs, which becomes a blob only when it is
complete. Cancelling the task that waits for it ends the program and removes the file.
"""

import hashlib
import os
import re
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE
from tempfile import TemporaryDirectory

import anyio
from anyio.to_thread import run_sync

from gateway.errors import Broken, Invalid
from gateway.store.blobs import Blobs
from gateway.store.gguf import Header, file_type

StatusSink = Callable[[Mapping[str, object]], Awaitable[None]]
"""Takes one JSON object of progress."""

COPY = "COPY"
"""No quantization: the parts of a split GGUF become one."""

_TYPES = ("F32", "F16", "BF16", "Q8_0", "Q4_K_S", "Q4_K_M")
_UNQUANTIZED = ("F32", "F16", "BF16")

# Tensors that lose too much in a K-quant of four bits, by architecture: a pattern and their type.
_TENSOR_OVERRIDES: Mapping[str, tuple[str, ...]] = {
    "qwen35": (r"nextn\.eh_proj\.weight=q8_0",),
    "qwen35moe": (r"nextn\.eh_proj\.weight=q8_0",),
    "gemma3n": (r"^per_layer_token_embd\.weight=f16",),
    "deepseek2": tuple(
        rf"\.{name}\.weight=q8_0"
        for name in ("attn_k_b", "attn_q_a", "attn_q_b", "attn_v_b", "attn_kv_a_mqa")
    ),
}
# Architectures whose token embedding and output tensor stay at 16 bits.
_WIDE_ENDS = ("glmocr", "glm4")

PROGRAM = "llama-quantize"
_NO_DIGEST = "0" * 19
"""What Ollama sends as the digest while it is unknown."""
_TENSOR = re.compile(r"\[ *\d+/ *\d+\].* size = +([\d.]+) MiB")
_REASON = re.compile(r"failed to quantize: (.+)")
# What an error message quotes from, and how much of a line without an end is kept for it.
_TAIL_LINES = 20
_LONGEST_LINE = 4096
_CHUNK = 64 << 20


@dataclass(frozen=True, slots=True)
class Conversion:
    """One run: blobs in order, by digest, become one; `origin` and `target` are file types."""

    part: int
    """The index of the model's part that it makes."""
    sources: tuple[str, ...]
    size: int
    """Bytes of all sources."""
    origin: str
    target: str
    flags: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """The progress line, in Ollama's words."""
        if self.target == COPY:
            return "validating GGUF model"
        return f"quantizing {self.origin} model to {self.target}"


@dataclass(frozen=True, slots=True)
class ConvertedBlob:
    """The blob that a conversion made; `new` if it was not stored before."""

    digest: str
    new: bool


def target_type(text: str) -> str:
    """The full name of a type in a request; "" stays "". Raises Invalid for an unsupported one."""
    name = text.upper()
    if name == "Q4_K":
        return "Q4_K_M"
    if name and name not in _TYPES:
        raise Invalid(
            f"unsupported quantization type {name} - supported types are "
            "F32, F16, Q4_K_S, Q4_K_M, Q8_0"
        )
    return name


def needs_conversion(header: Header, target: str, *, draft: bool = False) -> bool:
    """Whether a file must be converted to be of type `target`; Invalid when it cannot be."""
    # Unlike Ollama, which reads type 0 as unknown, we know F32 when we see it.
    origin = file_type(header.metadata, zero="F32")
    if not target or origin == target:
        return False
    if origin in _UNQUANTIZED:
        return True
    if draft:
        raise Invalid(f"draft quantization requires an unquantized draft model, got {origin}")
    raise Invalid("quantization is only supported for F16, BF16 and F32 models")


def quantize_flags(header: Header, target: str) -> tuple[str, ...]:
    """Arguments of llama-quantize that spare the model's most sensitive tensors."""
    if target not in ("Q4_K_S", "Q4_K_M"):
        return ()
    if header.architecture in _WIDE_ENDS:
        return ("--token-embedding-type", "f16", "--output-tensor-type", "f16")
    patterns = _TENSOR_OVERRIDES.get(header.architecture, ())
    return tuple(word for pattern in patterns for word in ("--tensor-type", pattern))


def program(server: Path) -> Path:
    """The llama-quantize beside this llama-server. Raises Broken when there is none."""
    path = server.with_name(PROGRAM)
    if not os.access(path, os.X_OK):
        raise Broken(f"{PROGRAM} unavailable: {PROGRAM} binary not found (checked: {path})")
    return path


async def convert(
    tool: Path, blobs: Blobs, conversion: Conversion, send: StatusSink
) -> ConvertedBlob:
    """Make the blob; raises Broken with the program's own error message when it fails."""
    temporary = blobs.reserve()
    try:
        with _source_path(blobs, conversion.sources) as source:
            files = (str(source), str(temporary))
            # Without that flag the program refuses files with tensors that are quantized already.
            words = ("--allow-requantize", *conversion.flags, *files, conversion.target)
            await _run((str(tool), *words), _Progress(conversion, send))
        # Hashed in the end, not while it is written: the program seeks back to fill in the header.
        # Chunk by chunk, so that it can be cancelled in between.
        sha256 = hashlib.sha256()
        async with await anyio.open_file(temporary, "rb") as file:
            while data := await file.read(_CHUNK):
                await run_sync(sha256.update, data)
        digest = f"sha256:{sha256.hexdigest()}"
        return ConvertedBlob(digest, await run_sync(blobs.adopt, temporary, digest))
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _source_path(blobs: Blobs, digests: tuple[str, ...]) -> Iterator[Path]:
    """The file to read: the blob itself, or the first of its shards."""
    if len(digests) == 1:
        yield blobs.path(digests[0])
        return
    # llama.cpp finds the other shards by their names, so they get links that are named so.
    with TemporaryDirectory(prefix="paddock-") as name:
        paths = [
            Path(name) / f"model-{number:05}-of-{len(digests):05}.gguf"
            for number in range(1, len(digests) + 1)
        ]
        for path, digest in zip(paths, digests, strict=True):
            path.symlink_to(blobs.path(digest).resolve())
        yield paths[0]


class _Progress:
    """Reads what the program prints, and sends how far it is once a percent."""

    def __init__(self, conversion: Conversion, send: StatusSink) -> None:
        self.lines: deque[str] = deque(maxlen=_TAIL_LINES)
        self.size = conversion.size
        self._conversion = conversion
        self._send = send
        self._done = 0.0
        self._percent = -1

    async def report(self, completed: int) -> None:
        percent = 100 * completed // self.size
        if percent > self._percent:
            self._percent = percent
            body: dict[str, object] = {
                "status": self._conversion.status,
                "digest": _NO_DIGEST,
                "total": self.size,
            }
            await self._send(body | {"completed": completed} if completed else body)

    async def feed(self, line: str) -> None:
        if match := _TENSOR.match(line):
            self._done += float(match[1]) * 2**20
            # Sizes are printed with two decimals, so their sum may come to more than the file.
            await self.report(min(int(self._done), self.size))
        elif line:
            self.lines.append(line)

    def failure(self) -> str:
        """Why the program failed: its last error message, else its last line."""
        messages = [match[1] for line in self.lines if (match := _REASON.search(line))]
        if messages:
            return messages[-1]
        return self.lines[-1] if self.lines else "it does not say why"


async def _run(command: Sequence[str], progress: _Progress) -> None:
    await progress.report(0)
    try:
        # Progress and errors are on stderr. Stdout has only lines for a person at a terminal.
        process = await anyio.open_process(command, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE)
    except OSError as error:
        raise Broken(f"{PROGRAM} cannot be run: {error.strerror}") from error
    async with process:
        try:
            assert process.stderr is not None
            rest = b""
            async for chunk in process.stderr:
                *lines, rest = (rest + chunk).split(b"\n")
                # Without a newline it would grow with every chunk; its end is the part that counts.
                rest = rest[-_LONGEST_LINE:]
                for line in lines:
                    await progress.feed(line.decode("utf-8", "replace").strip())
            await progress.feed(rest.decode("utf-8", "replace").strip())
            code = await process.wait()
        except BaseException:
            # Cancelled, or the client has gone. Nothing of the file is wanted, so there is nothing
            # that a gentler signal would save.
            process.kill()
            raise
    if code:
        raise Broken(f"{PROGRAM} failed with {code}: {progress.failure()}")
    await progress.report(progress.size)
