"""The key a registry knows a user by: read as ssh-keygen writes it, and used to sign.

Ed25519 as in RFC 8032, section 5.1. One signature takes milliseconds and is made when a registry
asks who we are. Its time depends on the key, which matters to nobody but those who can measure it
on this very machine.
"""

import base64
import hashlib
import re
from dataclasses import dataclass

_PEM = re.compile(
    r"-----BEGIN OPENSSH PRIVATE KEY-----(.+)-----END OPENSSH PRIVATE KEY-----", re.DOTALL
)
_MAGIC = b"openssh-key-v1\0"
_TYPE = b"ssh-ed25519"

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_BASE_Y = 4 * pow(5, -1, _P) % _P
_BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202

Point = tuple[int, int, int, int]
_BASE: Point = (_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % _P)


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """An Ed25519 key: the 32 secret bytes everything follows from."""

    seed: bytes

    @property
    def public(self) -> bytes:
        """The 32 public bytes."""
        return _encode(_multiply(_BASE, _secret(self.seed)[0]))

    @property
    def public_text(self) -> str:
        """The public key as it stands in an `authorized_keys` line, without type and comment."""
        return base64.b64encode(_string(_TYPE) + _string(self.public)).decode()

    def sign(self, data: bytes) -> bytes:
        """The signature of `data`, 64 bytes."""
        scalar, prefix = _secret(self.seed)
        public = self.public
        nonce = _number(hashlib.sha512(prefix + data).digest()) % _ORDER
        point = _encode(_multiply(_BASE, nonce))
        hashed = _number(hashlib.sha512(point + public + data).digest()) % _ORDER
        return point + ((nonce + hashed * scalar) % _ORDER).to_bytes(32, "little")

    def authorization(self, data: str) -> str:
        """The header that Ollama's registry knows a user by."""
        return f"{self.public_text}:{base64.b64encode(self.sign(data.encode())).decode()}"


def parse(text: str) -> Key:
    """Read an unencrypted OpenSSH private key. Raises ValueError for any other text."""
    found = _PEM.search(text)
    if found is None:
        raise ValueError("it is not an OpenSSH private key")
    data = base64.b64decode("".join(found[1].split()), validate=True)
    if not data.startswith(_MAGIC):
        raise ValueError("it is not an OpenSSH private key")
    cipher, rest = _take(data[len(_MAGIC) :])
    if cipher != b"none":
        raise ValueError("it is encrypted")
    for _ in ("derivation", "its options"):
        _, rest = _take(rest)
    _, rest = _take(rest[4:])  # after the number of keys, the public one
    secret, _ = _take(rest)
    kind, secret = _take(secret[8:])  # after two equal numbers that tell a wrong passphrase
    if kind != _TYPE:
        raise ValueError("it is not an Ed25519 key")
    _, secret = _take(secret)
    both, _ = _take(secret)
    if len(both) != 64:
        raise ValueError("it is not an Ed25519 key")
    return Key(both[:32])


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _take(data: bytes) -> tuple[bytes, bytes]:
    """The first string of OpenSSH's encoding, and what follows it."""
    end = 4 + int.from_bytes(data[:4], "big")
    if len(data) < end:
        raise ValueError("it is cut short")
    return data[4:end], data[end:]


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _secret(seed: bytes) -> tuple[int, bytes]:
    """The secret number and the prefix of nonces."""
    hashed = hashlib.sha512(seed).digest()
    number = _number(hashed[:32]) & (2**254 - 8) | 2**254
    return number, hashed[32:]


def _add(p: Point, q: Point) -> Point:
    """The sum of two points in extended coordinates (RFC 8032, 5.1.4)."""
    a = (p[1] - p[0]) * (q[1] - q[0]) % _P
    b = (p[1] + p[0]) * (q[1] + q[0]) % _P
    c = 2 * p[3] * q[3] * _D % _P
    d = 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _multiply(point: Point, number: int) -> Point:
    total: Point = (0, 1, 1, 0)
    while number:
        if number & 1:
            total = _add(total, point)
        point = _add(point, point)
        number >>= 1
    return total


def _encode(point: Point) -> bytes:
    x, y, z, _ = point
    inverse = pow(z, -1, _P)
    x, y = x * inverse % _P, y * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")
