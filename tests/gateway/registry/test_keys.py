"""Key files as ssh-keygen writes them, and signatures by the vectors of RFC 8032, section 7.1."""

import base64
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.registry.keys import parse

SEED = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
PUBLIC = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"


def string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def written(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey, password: bytes = b"") -> str:
    """A key file."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password)
    openssh = serialization.PrivateFormat.OpenSSH
    return key.private_bytes(serialization.Encoding.PEM, openssh, encryption).decode()


def known(seed: str = SEED) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))


@pytest.mark.parametrize(
    ("seed", "public", "message", "signature"),
    [
        (
            SEED,
            PUBLIC,
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e397"
            "01cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f361"
            "3d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ],
)
def test_a_header_has_the_key_and_the_standards_signature(
    seed: str, public: str, message: str, signature: str
) -> None:
    text = bytes.fromhex(message).decode()
    shown, signed = parse(written(known(seed))).authorization(text).split(":")
    assert base64.b64decode(shown) == string(b"ssh-ed25519") + string(bytes.fromhex(public))
    assert base64.b64decode(signed).hex() == signature


def test_a_key_does_not_show_itself() -> None:
    key = parse(written(known()))
    assert SEED not in repr(key)
    assert repr(bytes.fromhex(SEED)) not in repr(key)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is not an OpenSSH private key that can be read"),
        (written(known()).replace("b3Blbn", "AAAAAA"), "it is not an OpenSSH private key that .*"),
        (written(ec.generate_private_key(ec.SECP256R1())), "it is not an Ed25519 key"),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\n"
            + base64.b64encode(b"openssh-key-v1\0\0\0\0\4no").decode()
            + "\n-----END OPENSSH PRIVATE KEY-----",
            "it is not an OpenSSH private key that can be read",
        ),
    ],
)
def test_what_is_no_usable_key_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        parse(text)


def test_an_encrypted_key_is_refused_as_such() -> None:
    # Put together by hand: what encrypts a key file need not be installed to see that it is.
    options = string(string(b"salt" * 4) + (16).to_bytes(4, "big"))
    public = string(b"ssh-ed25519") + string(bytes.fromhex(PUBLIC))
    data = b"openssh-key-v1\0" + string(b"aes256-ctr") + string(b"bcrypt") + options
    data += (1).to_bytes(4, "big") + string(public) + string(bytes(160))
    text = base64.encodebytes(data).decode()
    name = "OPENSSH PRIVATE KEY"
    with pytest.raises(ValueError, match=r"^it is encrypted$"):
        parse(f"-----BEGIN {name}-----\n{text}-----END {name}-----\n")


def test_a_server_starts_without_the_library() -> None:
    code = "import gateway.serve, sys; sys.exit('cryptography' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
