"""Images and sounds named in a prompt by their paths: sent as base64, and cut from the text."""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.cli.console import Console
from gateway.errors import Invalid

LARGEST = 100 << 20

_START = re.compile(r"(?:[A-Za-z]:)?(?:\.{0,2}/|\\)")
_END = re.compile(r"\.(?:jpe?g|png|webp|wav)\b", re.IGNORECASE)
# Terminals escape these when a file is dropped on their window.
_ESCAPED = re.compile(r"\\([ ()\[\]{}$&;'\\*?~])")


@dataclass(frozen=True, slots=True)
class MediaPath:
    """A path as it stands in the prompt, and as the file system knows it."""

    raw: str
    path: str


def find_media_paths(text: str, exists: Callable[[str], bool]) -> list[MediaPath]:
    """The files named in `text`, in order."""
    paths: list[MediaPath] = []
    after = 0
    for end in _END.finditer(text):
        # A path may hold blanks, so every start before this end is tried, the longest path first.
        for start in _START.finditer(text, after, end.start()):
            raw = text[start.start() : end.end()]
            path = _ESCAPED.sub(r"\1", raw)
            if "\n" not in raw and exists(path):
                paths.append(MediaPath(raw, path))
                after = end.end()
                break
    return paths


def may_name_media(text: str) -> bool:
    """`text` holds something that looks like the name of an image or a sound."""
    return _END.search(text) is not None


def remove_paths(text: str, paths: list[MediaPath]) -> str:
    """`text` without the paths and the single quotes around them."""
    for item in paths:
        text = text.replace(f"'{item.raw}'", "").replace(item.raw, "")
    return text.strip()


def extract_media(text: str, console: Console) -> tuple[str, list[str]]:
    """The prompt without its paths, and the files' contents in base64.

    Raises Invalid for a file that is too large or is neither an image nor a sound.
    """
    paths = find_media_paths(text, lambda path: Path(path).is_file())
    contents = []
    for item in paths:
        try:
            data = load_media(Path(item.path))
        except (Invalid, OSError):
            console.note(f'Couldn\'t process file: "{item.path}"')
            raise
        kind = "audio" if item.path.lower().endswith(".wav") else "image"
        console.note(f"Added {kind} '{item.path}'")
        contents.append(base64.b64encode(data).decode())
    return remove_paths(text, paths), contents


def load_media(path: Path) -> bytes:
    """A file's bytes; raises Invalid unless they begin as a model could take them."""
    # The size first: reading a film whose name ends in .png would fill the memory.
    if path.stat().st_size > LARGEST:
        raise Invalid("file size exceeds maximum limit (100MB)")
    data = path.read_bytes()
    if not is_media(data[:16]):
        raise Invalid(f"invalid file type: {path}")
    return data


def is_media(start: bytes) -> bool:
    """The first bytes of a JPEG, PNG, WebP or WAV file."""
    if start.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")):
        return True
    return start.startswith(b"RIFF") and start[8:12] in (b"WEBP", b"WAVE")
