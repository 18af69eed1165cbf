"""Thin HTTP handlers: parse, call one thing, return."""
