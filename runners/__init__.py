"""The inward half of Paddock: runner processes and devices. `Scheduler.lease` is the only door.

A runner is one llama-server process under our care. The names are those of `runners.exports`, which
is imported when the first of them is used: `runners.build` must be importable with a bare Python,
before anything is installed that the others need.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runners.exports import *  # noqa: F403
else:

    def __getattr__(name: str) -> object:
        # Submodules are looked for here before they are imported.
        if name.startswith("_"):
            raise AttributeError(name)
        value = getattr(import_module("runners.exports"), name)
        globals()[name] = value
        return value
