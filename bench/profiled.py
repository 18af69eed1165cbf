"""`python -m bench.profiled SOCKET`: `paddock serve` that records which files a request enters.

A caller connects to SOCKET with multiprocessing.connection and sends START, which is answered with
None, and later STOP, which is answered with what was entered in between. It is the program as
installed, run by its module, so nothing here depends on how the gateway is built.
"""

import inspect
import runpy
import sys
import threading
import time
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from types import FrameType

PACKAGES = ("gateway", "runners")
START, STOP = "start", "stop"

_QUIET = 0.1
"""Seconds without a call after which a request has left nothing unfinished."""
_MOST_LOOKS = 100
_WAITS = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


class Recorder:
    """A profile function for sys.setprofile and threading.setprofile."""

    def __init__(self, root: Path) -> None:
        self._folders = tuple(f"{root / package}/" for package in PACKAGES)
        self._root = f"{root}/"
        self._recording = False
        self._calls = 0
        self._entered: dict[str, bool] = {}

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event != "call":
            return
        self._calls += 1
        # A function that is made at run time (a dataclass's) has no file, and is left out.
        path = frame.f_code.co_filename
        if self._recording and path.startswith(self._folders):
            waits = bool(frame.f_code.co_flags & _WAITS)
            # In the order of first entry: a file keeps its place in the dictionary.
            self._entered[path] = self._entered.get(path, False) or waits

    def start(self) -> None:
        self._entered = {}
        self._recording = True

    def stop(self) -> dict[str, bool]:
        """Files below the root in order of first entry, and whether a coroutine of theirs ran."""
        self._recording = False
        return {path.removeprefix(self._root): waits for path, waits in self._entered.items()}

    def settle(self) -> None:
        """Wait until the profiled threads do nothing; TimeoutError if that does not come."""
        # The reply has ended for the client before the server has given back its lease and closed
        # the connection, and no answer of the server's shows when that is done.
        for _ in range(_MOST_LOOKS):
            calls = self._calls
            time.sleep(_QUIET)
            if calls == self._calls:
                return
        raise TimeoutError("the server is never at rest")


def obey(connection: Connection, recorder: Recorder) -> None:
    """Carry out the caller's commands until it goes."""
    while True:
        try:
            command = connection.recv()
        except EOFError:
            return
        recorder.settle()
        if command == START:
            recorder.start()
            connection.send(None)
        else:
            connection.send(recorder.stop())


def main() -> None:
    recorder = Recorder(Path.cwd())
    # It listens before the server does: a caller that sees the server answer can connect.
    listener = Listener(sys.argv[1], "AF_UNIX")

    def attend() -> None:
        while True:
            with listener.accept() as connection:
                obey(connection, recorder)

    # Started before the profile function is set, so that this thread is not profiled itself.
    threading.Thread(target=attend, daemon=True).start()
    threading.setprofile(recorder)
    sys.setprofile(recorder)
    sys.argv[1:] = ["serve"]
    runpy.run_module("gateway", run_name="__main__")


if __name__ == "__main__":
    main()
