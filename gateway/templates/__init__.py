"""TEMPLATE layers: what they show of themselves, prompts by them, and how replies to those read."""
