"""How the engine is built: the pinned llama.cpp is fetched, compiled, tried and kept in a cache.

Standard library only, all of it: `build.py` imports this package with a bare Python, before
anything is installed.
"""
