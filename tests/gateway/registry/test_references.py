"""URLs, headers and schemes."""

import pytest

from gateway import names
from gateway.errors import Broken, Invalid
from gateway.registry.references import (
    Challenge,
    Reference,
    challenge,
    content_range,
    resolve,
    same_origin,
    scheme,
    signed_text,
    token_url,
    with_query,
)

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("name", "spoken", "manifest"),
    [
        ("m", "https", "https://registry.ollama.ai/v2/library/m/manifests/latest"),
        ("Ns/M:8B", "https", "https://registry.ollama.ai/v2/Ns/M/manifests/8B"),
        ("127.0.0.1:5000/n/m:t", "http", "http://127.0.0.1:5000/v2/n/m/manifests/t"),
        (
            "hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M",
            "https",
            "https://hf.co/v2/bartowski/Llama-3.2-1B-Instruct-GGUF/manifests/Q4_K_M",
        ),
    ],
)
def test_a_manifest_is_at_its_name(name: str, spoken: str, manifest: str) -> None:
    assert Reference(names.parse(name), spoken).manifest == manifest


def test_blobs_and_uploads_are_below_the_repository() -> None:
    reference = Reference(names.parse("h/n/m:t"))
    assert reference.blob(DIGEST) == f"https://h/v2/n/m/blobs/{DIGEST}"
    assert reference.uploads == "https://h/v2/n/m/blobs/uploads/"
    assert reference.repository == "n/m"


@pytest.mark.parametrize(
    ("text", "insecure", "spoken"),
    [
        ("h/n/m", False, "https"),
        ("h/n/m", True, "http"),
        ("http://h/n/m", True, "http"),
        (" HTTP://h/n/m", True, "http"),
        ("https://h/n/m", False, "https"),
        ("https://h/n/m", True, "https"),
    ],
)
def test_plain_http_takes_the_flag(text: str, insecure: bool, spoken: str) -> None:
    assert scheme(text, insecure=insecure) == spoken


@pytest.mark.parametrize(
    ("text", "insecure", "message"),
    [
        ("http://h/n/m", False, "insecure protocol http"),
        ("ftp://h/n/m", True, 'unsupported protocol "ftp"'),
    ],
)
def test_another_scheme_is_refused(text: str, insecure: bool, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        scheme(text, insecure=insecure)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            'Bearer realm="https://h/token",service="s",scope="repository:n/m:pull push"',
            Challenge("https://h/token", "s", ("repository:n/m:pull", "push")),
        ),
        ('Bearer scope="a", realm="https://h/t"', Challenge("https://h/t", "", ("a",))),
        ('Basic realm="Registry"', Challenge("Registry", "", ())),
        ("", Challenge("", "", ())),
    ],
)
def test_a_challenge_is_taken_apart(header: str, expected: Challenge) -> None:
    assert challenge(header) == expected


def test_a_token_is_requested_with_sorted_keys() -> None:
    wanted = Challenge("https://h:1/t?account=me", "a b", ("repository:n/m:pull", "x"))
    url = token_url(wanted, origin="https://h:1/v2/n/m/manifests/t", time=17, nonce="N-_")
    assert url == (
        "https://h:1/t?account=me&nonce=N-_&scope=repository%3An%2Fm%3Apull&scope=x"
        "&service=a+b&ts=17"
    )


def test_the_two_names_of_one_service_may_point_at_each_other() -> None:
    wanted = Challenge("https://huggingface.co/t", "s", ())
    url = token_url(wanted, origin="https://hf.co/v2/u/r/manifests/t", time=1, nonce="n")
    assert url == "https://huggingface.co/t?nonce=n&service=s&ts=1"


@pytest.mark.parametrize(
    ("realm", "host"),
    [("https://other/t", "other"), ("https://h:2/t", "h:2"), ("Registry", "")],
)
def test_a_realm_elsewhere_is_refused(realm: str, host: str) -> None:
    with pytest.raises(Invalid) as caught:
        token_url(Challenge(realm, "", ()), origin="https://h:1/v2/", time=1, nonce="n")
    assert caught.value.message == f'realm host "{host}" does not match original host "h:1"'


def test_what_is_signed_ends_in_the_text_of_the_hash_of_nothing() -> None:
    assert signed_text("https://h/t?a=1") == (
        "GET,https://h/t?a=1,"
        "ZTNiMGM0NDI5OGZjMWMxNDlhZmJmNGM4OTk2ZmI5MjQyN2FlNDFlNDY0OWI5MzRjYTQ5NTk5MWI3ODUyYjg1NQ=="
    )


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("https://h/a", "https://h/b?c", True),
        ("https://h/a", "http://h/a", False),
        ("https://h/a", "https://h:444/a", False),
        ("https://h/a", "https://i/a", False),
    ],
)
def test_a_token_is_for_one_origin(first: str, second: str, same: bool) -> None:
    assert same_origin(first, second) is same


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes 5-9/20", (5, 9, 20)),
        (" bytes 0-0/* ", (0, 0, None)),
        ("bytes */20", None),
        ("items 0-1/2", None),
        ("", None),
    ],
)
def test_a_range_is_read(header: str, expected: object) -> None:
    assert content_range(header) == expected


def test_a_location_may_be_relative() -> None:
    assert resolve("https://h/v2/a?b", "/c?d") == "https://h/c?d"
    assert resolve("https://h/v2/a", "http://i:1/c") == "http://i:1/c"


def test_a_location_that_is_none_is_an_error() -> None:
    with pytest.raises(Broken, match=r"^the registry sends us to 'http://\['$"):
        resolve("https://h/", "http://[")


def test_a_query_grows_at_its_end() -> None:
    extra = {"digest": "sha256:a", "from": "n/m"}
    assert with_query("https://h/u", extra) == "https://h/u?digest=sha256%3Aa&from=n%2Fm"
    assert with_query("https://h/u?s=%3d", extra).startswith("https://h/u?s=%3d&digest=")
