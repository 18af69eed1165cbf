"""Which llama.cpp is built: `pin.json`, which lies beside this file and goes into the wheel."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Pin:
    """The source distribution that holds the source, and the tools that build it.

    `size` is in bytes; `tools` are pip requirements with exact versions.
    """

    name: str
    version: str
    sha256: str
    size: int
    tools: Sequence[str]


def read_pin() -> Pin:
    return Pin(**json.loads(Path(__file__).with_name("pin.json").read_text()))
