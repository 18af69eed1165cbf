"""The key by which a registry knows a user: read as ssh-keygen writes it, and used to sign."""

import base64
from typing import Protocol


class _Signer(Protocol):
    def sign(self, data: bytes) -> bytes: ...


class UserKey:
    """An Ed25519 key. Its `repr` shows nothing of it."""

    def __init__(self, signer: _Signer, public_text: str) -> None:
        self._signer = signer
        self.public_text = public_text
        """The public key as in an `authorized_keys` line, without type and comment."""

    def authorization(self, data: str) -> str:
        """The header by which Ollama's registry knows a user."""
        signature = self._signer.sign(data.encode())
        return f"{self.public_text}:{base64.b64encode(signature).decode()}"


def parse(text: str) -> UserKey:
    """Read an unencrypted OpenSSH private key. Raises ValueError for any other text."""
    # Loaded when a registry wants a signature, not at every start of a server: 30 ms, 5 MB.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        key = serialization.load_ssh_private_key(text.encode(), password=None)
    # This is how the library reports a missing password.
    except TypeError as error:
        raise ValueError("it is encrypted") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("it is not an OpenSSH private key that can be read") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("it is not an Ed25519 key")
    line = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    # Without the type before it, which the header of Ollama's registry does not have.
    return UserKey(key, line.decode().split()[1])
