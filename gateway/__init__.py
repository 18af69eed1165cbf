"""The outward half of Paddock: HTTP, the model library on disk, the terminal."""

import sys
from types import ModuleType

__version__ = "0.1.0"
OLLAMA_VERSION = "0.33.0"
"""The Ollama whose API this is, and whose models can be run: clients and registries ask for it."""

# httpx imports its own command line, and with it rich and pygments, wherever these are installed:
# 50 ms and 6 MiB for every program that uses httpx, the server included. A module without `main` is
# an ImportError there, which httpx expects. It has to be in place before the first import of httpx.
sys.modules.setdefault("httpx._main", ModuleType("httpx._main"))
