"""A tool call that must be made, by a model whose calls are read by its TEMPLATE's tag.

The prompt already goes on with the tag, and a schema lets nothing follow but one call.
"""

from collections.abc import Mapping, Sequence
from typing import Any


def opening(tag: str) -> str:
    """What the prompt ends with; a tag that is but a brace belongs to the call itself."""
    return "" if tag == "{" else tag


def schema(tools: Sequence[Mapping[str, Any]], template: str) -> dict[str, Any]:
    """A call of one of `tools`, its arguments under the name that the template's text gives them.

    `tools` have the shape of the engine's chat completions.
    """
    other = '"parameters":' in template and '"arguments":' not in template
    member = "parameters" if other else "arguments"
    return {"anyOf": [_call(tool["function"], member) for tool in tools]}


def _call(function: Mapping[str, Any], member: str) -> dict[str, Any]:
    arguments = function.get("parameters") or {"type": "object"}
    return {
        "type": "object",
        "properties": {"name": {"const": function["name"]}, member: arguments},
        "required": ["name", member],
        "additionalProperties": False,
    }
