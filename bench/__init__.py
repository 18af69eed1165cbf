"""Measurements of the gateway against llama-server driven directly; `make bench` runs them."""
