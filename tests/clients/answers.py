"""What every client program here asks for, and how it tells what it got.

These programs run in an environment of their own, see tests/e2e/test_clients.py: each takes the
server's URL and writes a JSON object in a line for each dialect that it speaks.
"""

import json
import sys
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

URL = sys.argv[1]
HI = [{"role": "user", "content": "hi"}]
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


class Answer(BaseModel):
    """What the model `json` gives."""

    answer: int


def tell(
    dialect: str,
    chat: str,
    stream: Iterable[str],
    call: tuple[str, Any],
    parsed: Any,
    after: str = "",
) -> None:
    """A text, the texts of a stream, a tool's name and arguments, an Answer.

    `after`: what was said to the tool's result, by clients that run tools themselves.
    """
    assert isinstance(parsed, Answer), repr(parsed)
    reported = {
        "dialect": dialect,
        "chat": chat,
        "stream": [piece for piece in stream if piece],
        "call": call,
        "answer": parsed.model_dump(),
        "after": after,
    }
    sys.stdout.write(json.dumps(reported) + "\n")
