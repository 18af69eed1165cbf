"""What llama-quantize is asked for: which types there are, what may be turned into what, and how.

Pure: `gateway.store.quantize` runs it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.errors import Invalid
from gateway.store.gguf import Header, file_type

COPY = "COPY"
"""No quantization: the parts of a split GGUF become one."""

_TYPES = ("F32", "F16", "BF16", "Q8_0", "Q4_K_S", "Q4_K_M")
_PLAIN = ("F32", "F16", "BF16")

# What loses too much in a K-quant of four bits, by architecture: a name's pattern and a type.
_SPARED: Mapping[str, tuple[str, ...]] = {
    "qwen35": (r"nextn\.eh_proj\.weight=q8_0",),
    "qwen35moe": (r"nextn\.eh_proj\.weight=q8_0",),
    "gemma3n": (r"^per_layer_token_embd\.weight=f16",),
    "deepseek2": tuple(
        rf"\.{name}\.weight=q8_0"
        for name in ("attn_k_b", "attn_q_a", "attn_q_b", "attn_v_b", "attn_kv_a_mqa")
    ),
}
_SPARED_ENDS = ("glmocr", "glm4")


@dataclass(frozen=True, slots=True)
class Conversion:
    """One run: blobs in order, by digest, become one; `origin` and `target` are file types."""

    part: int
    """Which part of the model to be made comes of it."""
    sources: tuple[str, ...]
    size: int
    """Bytes of all sources."""
    origin: str
    target: str
    flags: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """What it is called while it lasts, in Ollama's words."""
        if self.target == COPY:
            return "validating GGUF model"
        return f"quantizing {self.origin} model to {self.target}"


def target(text: str) -> str:
    """A type as a request names it, in its full name. Raises Invalid for one we do not make."""
    name = text.upper()
    if name == "Q4_K":
        return "Q4_K_M"
    if name and name not in _TYPES:
        raise Invalid(
            f"unsupported quantization type {name} - supported types are "
            "F32, F16, Q4_K_S, Q4_K_M, Q8_0"
        )
    return name


def needed(header: Header, target: str, *, draft: bool = False) -> bool:
    """Whether a file must be converted to be of type `target`; Invalid when it cannot be."""
    # Unlike Ollama, which reads type 0 as unknown, we know F32 when we see it.
    origin = file_type(header.metadata, zero="F32")
    if not target or origin == target:
        return False
    if origin in _PLAIN:
        return True
    if draft:
        raise Invalid(f"draft quantization requires an unquantized draft model, got {origin}")
    raise Invalid("quantization is only supported for F16, BF16 and F32 models")


def flags(header: Header, target: str) -> tuple[str, ...]:
    """Arguments of llama-quantize for this model."""
    if target not in ("Q4_K_S", "Q4_K_M"):
        return ()
    if header.architecture in _SPARED_ENDS:
        return ("--token-embedding-type", "f16", "--output-tensor-type", "f16")
    patterns = _SPARED.get(header.architecture, ())
    return tuple(word for pattern in patterns for word in ("--tensor-type", pattern))
