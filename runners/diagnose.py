"""From a process's exit status and the end of its output to a cause. Pure.

The phrases are llama.cpp's and ggml's own, as the pinned version prints them.
"""

import re
import signal

from runners.errors import Cause

# In this order: a file that is missing is reported by gguf_init, which fits a corrupt one as well.
_MARKS: tuple[tuple[Cause, re.Pattern[str]], ...] = (
    (
        Cause.MEMORY,
        re.compile(
            r"out of (device )?memory|(cuda|hip)Malloc failed|failed to allocate|not enough memory"
            r"|insufficient memory|ErrorOutOfDeviceMemory|allocation failed",
            re.IGNORECASE,
        ),
    ),
    (Cause.UNSUPPORTED, re.compile(r"unknown model architecture|unknown pre-tokenizer type")),
    # A debugger that writes the crash down misses the C library's sources, and says so.
    (Cause.MISSING, re.compile(r"(?<!\.c: )No such file or directory")),
    (
        Cause.CORRUPT,
        re.compile(
            r"invalid magic|corrupted or incomplete|not within the file bounds|gguf_init"
            r"|missing tensor|wrong number of tensors|wrong shape|key not found in model"
        ),
    ),
    (Cause.FLAG, re.compile(r"^error: (invalid argument|unknown|the argument)", re.MULTILINE)),
)
_PREFIX = re.compile(r"^(\d+\.\d+\.\d+\.\d+ )?([EWID] )?(srv|cmn|slot|que|cmd)?\s*")
# The engine reports one failure at each level of its call stack; only the innermost says why.
_ECHO = re.compile(
    r"common_fit_params: |exiting due to model loading error|failed to load model$|^#\d+ "
)
_ELSEWHERE = re.compile(r"\.c: No such file or directory")
_FOLDERS = re.compile(r"(?<![\w/])/(?:[^\s/'\"]+/)+")
_TELLING = re.compile(r"error|fail|unknown|invalid|unable|memory|assert|abort", re.IGNORECASE)


def cause_of(exit_code: int | None, tail: str) -> Cause:
    """The first cause that fits; `exit_code` is negative for a signal, None if it still runs."""
    if exit_code == -signal.SIGILL:
        return Cause.ILLEGAL
    for cause, mark in _MARKS:
        if mark.search(tail):
            return cause
    return Cause.CRASH


def last_words(tail: str, limit: int = 400) -> str:
    """The one line of `tail` that says most, without the engine's log prefixes."""
    # Clients read it, and folders of the server are not their business: of a path only the name of
    # the file is kept.
    lines = [_FOLDERS.sub("", _PREFIX.sub("", line)).strip() for line in tail.splitlines()]
    # A warning is no reason to end; a build without GPUs begins with three of them.
    lines = [
        line
        for line in lines
        if line and not line.startswith("warning: ") and not _ELSEWHERE.search(line)
    ]
    for _, mark in _MARKS:
        for line in lines:
            if mark.search(line):
                return line[:limit]
    telling = [line for line in lines if _TELLING.search(line) and not _ECHO.search(line)]
    return (telling or lines or [""])[-1][:limit]


def ending(exit_code: int | None) -> str:
    """`exit status 1`, or the signal's name."""
    if exit_code is None:
        return "no exit status"
    if exit_code >= 0:
        return f"exit status {exit_code}"
    try:
        return f"signal {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"signal {-exit_code}"


def explain(exit_code: int | None, tail: str) -> str:
    """`exit status 1: unknown model architecture: 'x'`."""
    words = last_words(tail)
    return f"{ending(exit_code)}: {words}" if words else ending(exit_code)
