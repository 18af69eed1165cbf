"""The host setting: every form Ollama takes."""

import pytest

from gateway.address import Address, parse
from gateway.errors import Invalid


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("", "127.0.0.1", 11434),
        ("127.0.0.1", "127.0.0.1", 11434),
        ("1.2.3.4:80", "1.2.3.4", 80),
        ("0.0.0.0:0", "0.0.0.0", 0),
        (":8080", "127.0.0.1", 8080),
        ("example.com:", "example.com", 11434),
        ("example.com:65535", "example.com", 65535),
        ("::1", "::1", 11434),
        ("::", "::", 11434),
        ("[::1]", "::1", 11434),
        ("[::]:8080", "::", 8080),
        ("http://1.2.3.4", "1.2.3.4", 80),
        ("https://example.com", "example.com", 443),
        ("https://example.com:8443/path/x", "example.com", 8443),
        ("http://", "127.0.0.1", 80),
        ("http://[::1]:99/x", "::1", 99),
        ("tcp://1.2.3.4", "1.2.3.4", 11434),
        ("1.2.3.4/path", "1.2.3.4", 11434),
    ],
)
def test_every_form_of_an_address(text: str, host: str, port: int) -> None:
    assert parse(text) == Address(host, port)


@pytest.mark.parametrize("port", ["65536", "x", "-1", "1.5", "８０", " 80"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    text = f"localhost:{port}"
    with pytest.raises(Invalid) as caught:
        parse(text)
    assert caught.value.message == f"{text!r} has no valid port"


@pytest.mark.parametrize(
    ("address", "text"),
    [(Address("127.0.0.1", 1), "127.0.0.1:1"), (Address("::1", 80), "[::1]:80")],
)
def test_only_v6_is_bound_in_brackets(address: Address, text: str) -> None:
    assert address.bind == text


@pytest.mark.parametrize(
    ("host", "result"),
    [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("10.0.0.1", "10.0.0.1"), ("a.b", "a.b")],
)
def test_a_client_finds_every_interface_on_this_machine(host: str, result: str) -> None:
    assert Address(host, 7).reachable == Address(result, 7)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("LocalHost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.1", False),
        ("example.com", False),
    ],
)
def test_only_this_machine_reaches_loopback(host: str, loopback: bool) -> None:
    assert Address(host, 1).loopback is loopback
