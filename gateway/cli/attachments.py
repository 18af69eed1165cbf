"""Images and sounds named in a prompt: found by their paths, sent as base64, cut from the text."""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.cli.console import Console
from gateway.errors import Invalid

LIMIT = 100 << 20

_START = re.compile(r"(?:[A-Za-z]:)?(?:\.{0,2}/|\\)")
_END = re.compile(r"\.(?:jpe?g|png|webp|wav)\b", re.IGNORECASE)
_ESCAPED = re.compile(r"\\([ ()\[\]{}$&;'\\*?~])")


@dataclass(frozen=True, slots=True)
class Mention:
    """A path as it stands in the prompt, and as the file system knows it."""

    raw: str
    path: str


def mentions(text: str, exists: Callable[[str], bool]) -> list[Mention]:
    """The files named in `text`, in order. A path may hold blanks, so the longest one counts."""
    found: list[Mention] = []
    after = 0
    for end in _END.finditer(text):
        for start in _START.finditer(text, after, end.start()):
            raw = text[start.start() : end.end()]
            path = _ESCAPED.sub(r"\1", raw)
            if "\n" not in raw and exists(path):
                found.append(Mention(raw, path))
                after = end.end()
                break
    return found


def hinted(text: str) -> bool:
    """`text` holds something that looks like the name of an image or a sound."""
    return _END.search(text) is not None


def without(text: str, found: list[Mention]) -> str:
    """`text` without the paths and the single quotes around them."""
    for mention in found:
        text = text.replace(f"'{mention.raw}'", "").replace(mention.raw, "")
    return text.strip()


def take(text: str, console: Console) -> tuple[str, list[str]]:
    """The prompt without its paths, and the files' contents in base64.

    Raises Invalid for a file that is too large or is neither an image nor a sound.
    """
    found = mentions(text, lambda path: Path(path).is_file())
    contents = []
    for mention in found:
        try:
            data = load(Path(mention.path))
        except (Invalid, OSError):
            console.note(f'Couldn\'t process file: "{mention.path}"')
            raise
        kind = "audio" if mention.path.lower().endswith(".wav") else "image"
        console.note(f"Added {kind} '{mention.path}'")
        contents.append(base64.b64encode(data).decode())
    return without(text, found), contents


def load(path: Path) -> bytes:
    """A file's bytes, if their beginning says that a model could take them."""
    if path.stat().st_size > LIMIT:
        raise Invalid("file size exceeds maximum limit (100MB)")
    data = path.read_bytes()
    if not recognised(data[:16]):
        raise Invalid(f"invalid file type: {path}")
    return data


def recognised(start: bytes) -> bool:
    """The first bytes of a JPEG, PNG, WebP or WAV file."""
    if start.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")):
        return True
    return start.startswith(b"RIFF") and start[8:12] in (b"WEBP", b"WAVE")
