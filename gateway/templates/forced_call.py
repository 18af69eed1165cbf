"""A tool call that must be made, by a model whose calls are read by its TEMPLATE's tag.

The prompt already goes on with the tag, and a schema lets nothing follow but one call.
"""

from collections.abc import Mapping, Sequence
from typing import Any


def opening(tag: str) -> str:
    """The text that ends the prompt; a tag that is a mere brace belongs to the call itself."""
    return "" if tag == "{" else tag


def schema(tools: Sequence[Mapping[str, Any]], template: str) -> dict[str, object]:
    """A call of one of `tools`, its arguments under the name that the template's text gives them.

    `tools` have the shape of the engine's chat completions.
    """
    other = '"parameters":' in template and '"arguments":' not in template
    member = "parameters" if other else "arguments"
    functions = [tool["function"] for tool in tools]
    return {
        "anyOf": [
            {
                "type": "object",
                "properties": {
                    "name": {"const": function["name"]},
                    member: function.get("parameters") or {"type": "object"},
                },
                "required": ["name", member],
                "additionalProperties": False,
            }
            for function in functions
        ]
    }
