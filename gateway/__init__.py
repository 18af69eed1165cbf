"""The outward half of Paddock: HTTP, the model library on disk, the terminal."""

__version__ = "0.1.0"
OLLAMA_VERSION = "0.33.0"
"""The Ollama whose API this is, and whose models can be run: clients and registries ask for it."""
