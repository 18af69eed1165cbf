"""Digests are accepted in every legal spelling and kept in one."""

import pytest

from gateway.digests import blob_name, parse
from gateway.errors import Invalid

HEX = "b507b9c2f6ca642bffcd06665ea7c91f235fd32daeefdf875a0f938db05fb315"


@pytest.mark.parametrize("text", [f"sha256:{HEX}", f"sha256-{HEX}", f"sha256:{HEX.upper()}"])
def test_every_spelling_becomes_the_canonical_one(text: str) -> None:
    assert parse(text) == f"sha256:{HEX}"


@pytest.mark.parametrize(
    "text",
    [
        *("", HEX, f"sha256:{HEX[1:]}", f"sha256:{HEX}0", f"sha256:{HEX[1:]}g"),
        *(f"sha256_{HEX}", f"md5:{HEX}", f"SHA256:{HEX}", f" sha256:{HEX}", f"sha256:{HEX}\n"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match=r"^invalid digest format$"):
        parse(text)


def test_the_file_of_a_blob_has_a_dash() -> None:
    assert blob_name(f"sha256:{HEX}") == f"sha256-{HEX}"
