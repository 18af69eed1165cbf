"""What a llama-server's errors mean. Only this module knows the engine's sentences.

EngineError
├── ContextOverflow   the prompt has more tokens than there is room for
├── TemplateRefused   the GGUF's chat template refused the conversation
├── MediaUnreadable   an image or a sound is none that the engine can read
├── CacheMiss         a cached prompt parts from this one between two images
└── ReplyCutShort     the reply has no end

The sentences are those of the pinned engine; `tests/e2e/test_engine_parity_refused.py` provokes
them, so a new pin that words them differently fails there and not at a user's.
"""

import re

from runners import Refused

# A 500 whose message begins so is the client's mistake: the engine checks late, and reports all
# that it finds then as a failure of its own.
_CLIENT_ERRORS = (
    "[json.exception.",
    "Failed to parse messages:",
    "Failed to parse tools:",
    "Failed to parse tool call arguments as JSON:",
    "'messages' is required",
    "image input is not supported",
    "audio input is not supported",
    "video input is not supported",
    '"prompt" elements must be',
    "input (",
    "Failed to download image",
    "Invalid base64 value",
    "Cannot use both json_schema and grammar",
    "Unknown reasoning format:",
    "vector::_M_range_check",  # a token number that the vocabulary does not have
)
CUT_SHORT = "an error was encountered while running the model: unexpected EOF"
"""What Ollama says where a reply has no end."""
_OVERFLOW_TYPE = "exceed_context_size_error"
_MEDIA_UNREADABLE = ("Failed to load image or audio file", "Failed to tokenize prompt")
_TEMPLATE_REFUSED = "Jinja Exception"
_CACHE_MISS = "Chunk not found"
# How the engine words an overflow depends on the endpoint and on whether the model can read an
# input in pieces. The first two name what just fits, the third what does not.
_OVERFLOWS = (
    (re.compile(r"(?:\((\d+) tokens\) is )?too large to process\D*(\d+)\)"), 0),
    (re.compile(r"(?:\((\d+) tokens\) is )?larger than the max context size \((\d+) "), 0),
    (re.compile(r"(?:\((\d+) tokens\) )?exceeds the available context size \((\d+) "), -1),
)


class EngineError(Exception):
    """The engine refused a call or could not go on. `status`: what a client should see for it."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class ContextOverflow(EngineError):
    """`tokens` of a prompt (0 where the engine does not say) for a context of `limit`.

    `fits`: the most tokens that a prompt may have; a generated reply needs one of the context.
    """

    def __init__(self, message: str, status: int, tokens: int, limit: int, fits: int) -> None:
        super().__init__(message, status)
        self.tokens = tokens
        self.limit = limit
        self.fits = fits

    @classmethod
    def of(cls, tokens: int, limit: int) -> "ContextOverflow":
        """As the engine would have refused it, had its own context been `limit`."""
        message = (
            f"request ({tokens} tokens) exceeds the available context size ({limit} tokens), "
            "try increasing it"
        )
        return cls(message, 400, tokens, limit, limit - 1)


class TemplateRefused(EngineError):
    """The GGUF's chat template raised an exception of its own."""


class MediaUnreadable(EngineError):
    """An image or a sound that the engine cannot read."""


class CacheMiss(EngineError):
    """The prompt in the slot's cache and this one part between two images."""


class ReplyCutShort(EngineError):
    """The stream stopped before the reply's last event."""

    def __init__(self) -> None:
        super().__init__(CUT_SHORT, 500)


def from_refusal(refused: Refused) -> EngineError:
    """What the error status of a whole call means."""
    return _classify(refused.message, refused.status, refused.kind)


def from_event(error: object) -> EngineError:
    """What `{"error": {"code", "message", "type"}}` within a stream means."""
    if not isinstance(error, dict):
        return EngineError(str(error), 500)
    code = error.get("code")
    status = code if isinstance(code, int) else 500
    return _classify(str(error.get("message", "the engine failed")), status, error.get("type"))


def _classify(message: str, status: int, kind: object) -> EngineError:
    if status == 501 or (status == 500 and message.startswith(_CLIENT_ERRORS)):
        status = 400
    for pattern, room in _OVERFLOWS:
        if match := pattern.search(message):
            limit = int(match[2])
            return ContextOverflow(message, 400, int(match[1] or 0), limit, limit + room)
    # An overflow in words that are not known: without its counts it can still be shortened for.
    if kind == _OVERFLOW_TYPE:
        return ContextOverflow(message, 400, 0, 0, 0)
    if _TEMPLATE_REFUSED in message:
        return TemplateRefused(message, status)
    if _CACHE_MISS in message:
        return CacheMiss(message, status)
    if message in _MEDIA_UNREADABLE:
        return MediaUnreadable(message, status)
    return EngineError(message, status)
