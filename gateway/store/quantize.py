"""Run llama-quantize: blobs in, one blob out, with progress on the way.

The program writes into a temporary file beside the blobs, which becomes one only when it is whole.
Whoever waits for it and is cancelled ends the program, and nothing of it stays.
"""

import hashlib
import os
import re
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE
from tempfile import TemporaryDirectory
from typing import Any

import anyio
from anyio.abc import ByteReceiveStream
from anyio.to_thread import run_sync

from gateway.errors import Broken
from gateway.store.blobs import Blobs
from gateway.store.conversion import Conversion
from gateway.store.create import Converted

Tell = Callable[[Mapping[str, Any]], Awaitable[None]]
"""Takes one object of progress."""

PROGRAM = "llama-quantize"
_NO_DIGEST = "0" * 19
"""What Ollama puts where a digest belongs while it is not known."""
_TENSOR = re.compile(r"\[ *\d+/ *\d+\].* size = +([\d.]+) MiB")
_REASON = re.compile(r"failed to quantize: (.+)")
_TAIL_LINES = 20
_LONGEST_LINE = 4096
_PIECE = 64 << 20


def program(server: Path) -> Path:
    """The llama-quantize beside this llama-server. Raises Broken when there is none."""
    path = server.with_name(PROGRAM)
    if not os.access(path, os.X_OK):
        raise Broken(f"{PROGRAM} unavailable: {PROGRAM} binary not found (checked: {path})")
    return path


async def convert(tool: Path, blobs: Blobs, conversion: Conversion, tell: Tell) -> Converted:
    """Make the blob; raises Broken with the program's own words when it fails."""
    temporary = blobs.reserve()
    try:
        with _files(blobs, conversion.sources) as source:
            files = (str(source), str(temporary))
            words = ("--allow-requantize", *conversion.flags, *files, conversion.target)
            await _run((str(tool), *words), _Told(conversion, tell))
        digest = await _digest(temporary)
        return Converted(digest, await run_sync(blobs.adopt, temporary, digest))
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _files(blobs: Blobs, digests: tuple[str, ...]) -> Iterator[Path]:
    """The path to read: the blob's own, or the first of shards under the names they must have."""
    if len(digests) == 1:
        yield blobs.path(digests[0])
        return
    with TemporaryDirectory(prefix="paddock-") as name:
        paths = [
            Path(name) / f"model-{number:05}-of-{len(digests):05}.gguf"
            for number in range(1, len(digests) + 1)
        ]
        for path, digest in zip(paths, digests, strict=True):
            path.symlink_to(blobs.path(digest).resolve())
        yield paths[0]


class _Told:
    """How far it is by what the program prints, told once a percent."""

    def __init__(self, conversion: Conversion, tell: Tell) -> None:
        self.lines: deque[str] = deque(maxlen=_TAIL_LINES)
        self._conversion = conversion
        self.size = conversion.size
        self._tell = tell
        self._done = 0.0
        self._percent = -1

    async def at(self, completed: int) -> None:
        percent = 100 * completed // self.size
        if percent > self._percent:
            self._percent = percent
            body = {"status": self._conversion.status, "digest": _NO_DIGEST, "total": self.size}
            await self._tell(body | {"completed": completed} if completed else body)

    async def line(self, text: str) -> None:
        if found := _TENSOR.match(text):
            self._done += float(found[1]) * 2**20
            await self.at(min(int(self._done), self.size))
        elif text:
            self.lines.append(text)

    def reason(self) -> str:
        """Why it failed: what it says last, if it does not say it better."""
        said = [found[1] for line in self.lines if (found := _REASON.search(line))]
        return said[-1] if said else (self.lines[-1] if self.lines else "it does not say why")


async def _run(command: Sequence[str], told: _Told) -> None:
    await told.at(0)
    try:
        process = await anyio.open_process(command, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE)
    except OSError as error:
        raise Broken(f"{PROGRAM} cannot be run: {error.strerror}") from error
    async with process:
        try:
            assert process.stderr is not None
            await _read(process.stderr, told)
            code = await process.wait()
        except BaseException:
            process.kill()
            raise
    if code:
        raise Broken(f"{PROGRAM} failed with {code}: {told.reason()}")
    await told.at(told.size)


async def _read(stream: ByteReceiveStream, told: _Told) -> None:
    """Every line of `stream`; one without an end is cut."""
    rest = b""
    async for chunk in stream:
        *lines, rest = (rest + chunk).split(b"\n")
        rest = rest[-_LONGEST_LINE:]
        for line in lines:
            await told.line(line.decode("utf-8", "replace").strip())
    await told.line(rest.decode("utf-8", "replace").strip())


async def _digest(path: Path) -> str:
    """The digest of a file, piece by piece, so that it can be cancelled in between."""
    found = hashlib.sha256()
    async with await anyio.open_file(path, "rb") as file:
        while data := await file.read(_PIECE):
            await run_sync(found.update, data)
    return f"sha256:{found.hexdigest()}"
