"""TEMPLATE layers: their abilities, prompts by them, and parsers for the replies to those."""
