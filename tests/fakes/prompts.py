"""Models with TEMPLATE layers behind scripted engines, and ways to ask them."""

from base64 import b64encode
from typing import Any

import httpx

from tests.fakes.engine import split, token_id
from tests.fakes.server import ABLE, Gateway

LAYER = "{{ range .Messages }}{{ .Role }}: {{ .Content }} \n{{ end }}assistant: "
ABLE_LAYER = (
    "{{ if .Tools }}tools: {{ .Tools }} \n{{ end }}"
    "{{ range .Messages }}{{ .Role }}: "
    "{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}"
    '{{ if .ToolCalls }}<tool_call>{{ range .ToolCalls }}{"name": "{{ .Function.Name }}", '
    '"arguments": {{ .Function.Arguments }}}{{ end }}</tool_call>{{ end }} \n'
    "{{ end }}assistant: "
)
INSERT = "{{ if .Suffix }}<PRE>{{ .Prompt }}<SUF>{{ .Suffix }}<MID>{{ else }}{{ .Prompt }}{{ end }}"
HI = [{"role": "user", "content": "hi there"}]
HI_PROMPT = "user: hi there \nassistant: "
"""What LAYER and ABLE_LAYER make of it."""
BMP, PNG = (b64encode(data).decode() for data in (b"BM1", b"\x89PNG\r\n\x1a\n"))


def add_all(gateway: Gateway) -> None:
    """One model by its own chat template, the others by TEMPLATE layers."""
    gateway.add("native", pieces=("one ",), template=ABLE)
    gateway.add("plain", pieces=("two ",), template=None, layer=LAYER)
    gateway.add("able", pieces=("three ",), template=None, layer=ABLE_LAYER)
    sight = {"llama.vision.block_count": 1}
    gateway.add("seeing", pieces=("five ",), template=None, layer=ABLE_LAYER, metadata=sight)
    gateway.add("insert", pieces=("four ",), template=None, layer=INSERT)


async def post(gateway: Gateway, path: str, model: str, **body: Any) -> httpx.Response:
    return await gateway.client.post(path, json={"model": model, "stream": False, **body})


async def chat(gateway: Gateway, model: str, **body: Any) -> httpx.Response:
    return await post(gateway, "/api/chat", model, **{"messages": HI, **body})


async def generate(gateway: Gateway, model: str, **body: Any) -> httpx.Response:
    return await post(gateway, "/api/generate", model, **{"prompt": "hi there", **body})


def ok_json(reply: httpx.Response) -> Any:
    assert reply.status_code == 200, reply.text
    return reply.json()


def token_ids(text: str) -> list[int]:
    return [token_id(piece) for piece in split(text)]
