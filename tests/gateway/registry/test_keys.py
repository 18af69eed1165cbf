"""Signatures against the vectors of RFC 8032, section 7.1, and key files as ssh-keygen has them."""

import base64

import pytest

from gateway.registry.keys import Key, parse

SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")


def string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


PUBLIC_BLOB = string(b"ssh-ed25519") + string(PUBLIC)


def written(
    *, cipher: bytes = b"none", kind: bytes = b"ssh-ed25519", both: bytes = SEED + PUBLIC
) -> str:
    """A key file: RFC 8032's first key in OpenSSH's format."""
    check = b"\1\2\3\4" * 2
    secret = check + string(kind) + string(PUBLIC) + string(both) + string(b"me@here")
    data = b"openssh-key-v1\0" + string(cipher) + string(b"none") + string(b"")
    data += (1).to_bytes(4, "big") + string(PUBLIC_BLOB) + string(secret)
    text = base64.encodebytes(data).decode()
    name = "OPENSSH PRIVATE KEY"
    return f"-----BEGIN {name}-----\n{text}-----END {name}-----\n"


@pytest.mark.parametrize(
    ("seed", "public", "message", "signature"),
    [
        (
            SEED.hex(),
            PUBLIC.hex(),
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
def test_signatures_are_those_of_the_standard(
    seed: str, public: str, message: str, signature: str
) -> None:
    key = Key(bytes.fromhex(seed))
    assert key.public.hex() == public
    assert key.sign(bytes.fromhex(message)).hex() == signature


def test_a_key_file_is_read() -> None:
    key = parse(written())
    assert key.seed == SEED
    assert base64.b64decode(key.public_text) == PUBLIC_BLOB


def test_a_header_has_key_and_signature() -> None:
    public, signature = Key(SEED).authorization("GET,x").split(":")
    assert base64.b64decode(public) == PUBLIC_BLOB
    assert base64.b64decode(signature) == Key(SEED).sign(b"GET,x")


def test_a_key_does_not_show_itself() -> None:
    assert SEED.hex() not in repr(Key(SEED))
    assert repr(SEED) not in repr(Key(SEED))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is not an OpenSSH private key"),
        (written().replace("b3Blbn", "AAAAAA"), "it is not an OpenSSH private key"),
        (written(cipher=b"aes256-ctr"), "it is encrypted"),
        (written(kind=b"ssh-rsa"), "it is not an Ed25519 key"),
        (written(both=SEED), "it is not an Ed25519 key"),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\n"
            + base64.b64encode(b"openssh-key-v1\0\0\0\0\4no").decode()
            + "\n-----END OPENSSH PRIVATE KEY-----",
            "it is cut short",
        ),
    ],
)
def test_what_is_no_usable_key_is_told(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        parse(text)
