"""Which local files a Modelfile means, and under which names they travel to the server."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from gateway.errors import Invalid

MAGIC = b"GGUF"


def local(text: str, folder: Path) -> Path | None:
    """The file or folder `text` names as seen from `folder`; None when nothing is there."""
    path = folder / os.path.expanduser(text)
    return path if path.exists() else None


def needed(text: str, folder: Path) -> Path:
    """Like `local`, for what must be there."""
    path = local(text, folder)
    if path is None:
        raise Invalid(f"{text}: no such file or directory")
    return path


def gguf_files(path: Path) -> list[Path]:
    """`path` itself, or the GGUF files in it when it is a folder; raises Invalid."""
    if not path.is_dir():
        if not _is_gguf(path):
            raise Invalid(f"{path}: not a GGUF file, and only those are supported for now")
        return [path]
    found = sorted(file for file in path.glob("*.gguf") if _inside(file, path) and _is_gguf(file))
    if not found:
        raise Invalid(f"no Modelfile or GGUF files found in {path}")
    return found


def travelling(files: Iterable[Path]) -> dict[str, Path]:
    """Files by the name the server gets: relative to their deepest common folder."""
    absolute = {file: Path(os.path.abspath(file)) for file in files}
    if not absolute:
        return {}
    root = _common_folder(list(absolute.values()))
    return {path.relative_to(root).as_posix(): file for file, path in absolute.items()}


def _common_folder(paths: Sequence[Path]) -> Path:
    return Path(os.path.commonpath([path.parent for path in paths]))


def _inside(file: Path, folder: Path) -> bool:
    """True; raises Invalid for a link that leads out of the folder."""
    if not file.resolve().is_relative_to(folder.resolve()):
        raise Invalid(f"insecure path: {file.name}")
    return True


def _is_gguf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC
