"""Scripted models for whole gateways: what each says, and how they are created over HTTP."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from runners.build.scripted_model import CHATML, write

# ChatML too, but for so many words that no TEMPLATE fits it: the engine makes these prompts itself.
NATIVE = "{#- " + "The chat template of a model that nobody else has. " * 9 + "-#}" + CHATML
_REASONING = (
    "{%- for m in messages -%}<|im_start|>{{ m.role }}\n"
    "{% if m.reasoning_content %}<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}"
    "{{ m.content }}<|im_end|>{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}"
    "<think>\n\n</think>\n\n{% endif %}{%- endif -%}"
)
_TOOLS = (
    '{%- if tools -%}<|im_start|>system\nAnswer with <tool_call>\n{"name": NAME, "arguments": '
    "OBJECT}\n</tool_call>. There are: {{ tools | tojson }}<|im_end|>{%- endif -%}"
    "{%- for m in messages -%}<|im_start|>{{ m.role }}\n"
    "{%- if m.tool_calls -%}{%- for call in m.tool_calls -%}<tool_call>\n"
    '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}\n'
    "</tool_call>{%- endfor -%}{%- else -%}{{ m.content }}{%- endif -%}<|im_end|>{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|im_start|>assistant\n{%- endif -%}"
)


@dataclass(frozen=True)
class Scripted:
    """What a model says, one token a piece; `more` goes to `write`, `recipe` into the request."""

    pieces: Sequence[str]
    template: str | None = CHATML
    more: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return "".join(self.pieces)


PLAIN = Scripted(("Alpha ", "beta ", "gamma ", "delta."))
# The same, by a chat template of its own.
OWN = Scripted(PLAIN.pieces, template=NATIVE)
OTHER = Scripted(("Another ", "model ", "speaks."))
UNICODE = Scripted(
    ("Zażółć ", "日本", "👩‍🚀", " e\u0301", "a\u2028b", "c\u2029d", "e\u0085f", " <&>", "😀")
)
# Its template leaves the prompt at the end of the script.
EMPTY = Scripted(("Only.",), template="{{ messages[-1].content }}Only.")
ENDLESS = Scripted(("tick ", "tack ", "tock "), more={"loop": True})
# Between two batches an engine notices that nobody listens any more; small ones make that soon.
LONG = Scripted(
    ("Long ", "ago. "),
    more={"context": 32768, "loop": True},
    recipe={"parameters": {"num_batch": 256}},
)
JSON = Scripted(('{"answer": ', "42", " }"))
THINKING = Scripted(
    ("<think>", "\nLet ", "me see.\n", "</think>", "\n\nIt ", "is 4."),
    template=_REASONING,
    more={"side": ("No ", "thoughts."), "jumps": {"</think>\n\n": "No "}},
)
TOOLS = Scripted(
    (
        "<tool_call>",
        '\n{"name": "',
        "weather",
        '", "arguments": {"city": "',
        "Paris",
        '"}}',
        "\n</tool_call>",
    ),
    template=_TOOLS,
)
TUTORED = Scripted(
    ("Yes, ", "indeed."),
    recipe={
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": "Sure?"},
            {"role": "assistant", "content": "Sure."},
        ],
        "parameters": {"stop": ["indeed"], "num_predict": 7},
    },
)
ALIEN = Scripted(("It ", "never ", "runs."), more={"architecture": "alien"})

MODELS: Mapping[str, Scripted] = {
    "plain": PLAIN,
    "own": OWN,
    "other": OTHER,
    "unicode": UNICODE,
    "empty": EMPTY,
    "endless": ENDLESS,
    "long": LONG,
    "json": JSON,
    "thinking": THINKING,
    "tools": TOOLS,
    "tutored": TUTORED,
    "alien": ALIEN,
}

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "the weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def upload(client: httpx.Client, data: bytes) -> str:
    """Store `data` as a blob; its digest."""
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    reply = client.post(f"/api/blobs/{digest}", content=data)
    assert reply.status_code in (200, 201), reply.text
    return digest


def create(client: httpx.Client, name: str, script: Scripted, folder: Path) -> str:
    """Make a model by the API alone; the digest of its weights."""
    path = write(folder / f"{name}.gguf", script.pieces, template=script.template, **script.more)
    digest = upload(client, path.read_bytes())
    body = {"model": name, "files": {"model.gguf": digest}, "stream": False, **script.recipe}
    reply = client.post("/api/create", json=body)
    assert reply.json() == {"status": "success"}, reply.text
    return digest
