"""The engine's source: the pinned archive or the user's own, verified and unpacked.

Standard library only: build.py uses it before anything is installed.
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

TREE = Path(__file__).resolve().parent / "llama.cpp"
LOCK = ".lock"
_STAMP = ".origin"
_OURS = ("README.md", "pin.json", LOCK)
_MARK = "ggml/CMakeLists.txt"

# What the build and the converters read; everything else stays in the archive.
_KEPT = (
    *("CMakeLists.txt", "LICENSE", "AUTHORS", "licenses/", "cmake/", "common/", "conversion/"),
    *("convert_", "ggml/", "gguf-py/", "include/", "models/", "scripts/ui-assets.cmake", "src/"),
    *("tools/", "vendor/"),
)
_DROPPED = re.compile(
    r"(^|/)(\.\.|tests|bench|docs)/|^tools/.*\.(md|jpeg|mp3|mp4)$"
    r"|^tools/ui/(?!CMakeLists\.txt|sources\.cmake|ui\.)"
)


class BuildError(Exception):
    """Why there is no engine, with the remedy, in a line or two."""


class Missing(BuildError):
    """The source, or a tool that pip should bring, is not to be had: no flavour can be built."""


@dataclass(frozen=True, slots=True)
class Pin:
    """The source distribution that holds the source, and the tools that build it."""

    name: str
    version: str
    sha256: str
    size: int
    tools: Sequence[str]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the source comes from: a local archive or tree, or (`path` None) the pinned archive."""

    digest: str
    label: str
    path: Path | None = None


def pin(path: Path = TREE / "pin.json") -> Pin:
    """The pin file."""
    return Pin(**json.loads(path.read_text()))


def verify(archive: Path, expected: Pin) -> None:
    """Raises Missing unless the archive is byte for byte the pinned one."""
    size, digest = archive.stat().st_size, _digest(archive)
    if (size, digest) != (expected.size, expected.sha256):
        raise Missing(
            f"{archive} is not the pinned source: {size} bytes, sha256 {digest}; "
            f"expected {expected.size} bytes, sha256 {expected.sha256}"
        )


def pip(*arguments: str) -> None:
    """Run this interpreter's pip; its last line of complaint becomes a Missing."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[-1]
        raise Missing(
            f"pip {arguments[0]} failed: {reason}\n"
            "Check the network and pip; `build.py --source PATH` takes a source you already have."
        )


def fetch(expected: Pin, downloads: Path, pip: Callable[..., None] = pip) -> Path:
    """The pinned archive: from `downloads`, or else from pip, which checks the hash before use."""
    archive = downloads / f"{expected.name.replace('-', '_')}-{expected.version}.tar.gz"
    if archive.exists():
        try:
            verify(archive, expected)
            return archive
        except Missing:
            archive.unlink()
    downloads.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=downloads) as folder:
        wanted = Path(folder, "wanted.txt")
        wanted.write_text(f"{expected.name}=={expected.version} --hash=sha256:{expected.sha256}\n")
        pip(
            *("download", "--no-deps", "--no-binary", expected.name, "--require-hashes"),
            *("--requirement", str(wanted), "--dest", folder),
        )
        fetched = Path(folder, archive.name)
        verify(fetched, expected)
        fetched.replace(archive)
    return archive


def kept(name: str) -> bool:
    """Whether a file of the source, named by its path inside the tree, is built or used."""
    return name.startswith(_KEPT) and not _DROPPED.search(name)


def tree_prefix(names: Iterable[str]) -> str:
    """The path that llama.cpp has inside an archive, with its slash; "" at the top."""
    found = [n.removesuffix(_MARK) for n in names if n == _MARK or n.endswith("/" + _MARK)]
    if not found:
        raise Missing(f"there is no llama.cpp in the source: no {_MARK}")
    return min(found, key=len)


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """The kept files of an archive or a tree, as (path inside llama.cpp, content)."""
    if path.is_dir():
        files = {p.relative_to(path).as_posix(): p for p in sorted(path.rglob("*")) if p.is_file()}
        prefix = tree_prefix(files)
        for name, file in files.items():
            if name.startswith(prefix) and kept(name.removeprefix(prefix)):
                yield name.removeprefix(prefix), file.read_bytes()
        return
    with tarfile.open(path) as archive:
        prefix = tree_prefix(archive.getnames())
        for member in archive:
            inside = member.name.removeprefix(prefix)
            data = archive.extractfile(member) if member.isfile() else None
            if data is not None and member.name.startswith(prefix) and kept(inside):
                yield inside, data.read()


def origin(expected: Pin, path: Path | None) -> Origin:
    """Identify the source without unpacking it: by its hash, or for a tree by its kept files."""
    if path is None:
        return Origin(expected.sha256, f"{expected.name} {expected.version}")
    path = path.resolve()
    if path == TREE or TREE in path.parents:
        raise BuildError(f"{path} is filled by build.py: name a source that lies elsewhere")
    if not path.exists():
        raise Missing(f"there is no {path}")
    digest = _digest(path) if path.is_file() else _tree_digest(path)
    return Origin(digest, f"local source {digest[:12]}", path)


def unpack(path: Path, into: Path, digest: str) -> None:
    """Fill `into` with the kept files of an archive or a tree, in place of what was there.

    The stamp goes first and comes last, so that a torn tree is never taken for a whole one.
    """
    into.joinpath(_STAMP).unlink(missing_ok=True)
    for old in into.iterdir():
        if old.is_dir():
            shutil.rmtree(old)
        elif old.name not in _OURS:
            old.unlink()
    for name, data in members(path):
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    into.joinpath(_STAMP).write_text(digest)


def materialise(
    wanted: Origin, expected: Pin, downloads: Path, say: Callable[[str], None], into: Path = TREE
) -> None:
    """Put the source into `into` unless it is there already; the caller holds the lock."""
    stamp = into / _STAMP
    if stamp.exists() and stamp.read_text() == wanted.digest:
        return
    say(f"engine: fetching and unpacking {wanted.label}")
    unpack(wanted.path or fetch(expected, downloads), into, wanted.digest)


def version(tree: Path, label: str) -> str:
    """What the source calls itself, and where it came from."""
    texts = [(tree / name).read_text() for name in ("CMakeLists.txt", _MARK)]
    numbers = [
        ".".join(re.findall(rf"^set\({prefix}_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)\)", text, re.M))
        for prefix, text in zip(("LLAMA", "GGML"), texts, strict=True)
    ]
    return f"llama.cpp {numbers[0] or 'unknown'} (ggml {numbers[1] or 'unknown'}; {label})"


def _digest(path: Path) -> str:
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def _tree_digest(path: Path) -> str:
    total = hashlib.sha256()
    for name, data in members(path):
        total.update(f"{name}\0{len(data)}\0".encode() + data)
    return total.hexdigest()
