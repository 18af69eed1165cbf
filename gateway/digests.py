"""Digests of blobs: `sha256:` and 64 hex digits."""

import re

from gateway.errors import Invalid

_DIGEST = re.compile(r"sha256[:-]([0-9a-fA-F]{64})")


def parse(text: str) -> str:
    """The canonical form, `sha256:<lower-case hex>`, of a digest written in any legal way."""
    match = _DIGEST.fullmatch(text)
    if match is None:
        raise Invalid("invalid digest format")
    return f"sha256:{match[1].lower()}"


def blob_name(digest: str) -> str:
    """The file name of the blob with this canonical digest."""
    # A dash, for a colon cannot be in a file name on Windows.
    return digest.replace(":", "-", 1)
