"""The outward half of Paddock: HTTP, the model library on disk, the terminal."""

__version__ = "0.1.0"
