"""The client: addresses, errors, streams."""

import socket
import subprocess
import threading
from collections.abc import Iterable

import pytest

from gateway.cli.client import Api, ServerError, base_url, is_loopback, lines
from gateway.errors import Invalid
from tests.gateway.cli.conftest import Exchange, ScriptedServer, StartCommand, finish


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("  ", "http://127.0.0.1:11434"),
        ("box", "http://box:11434"),
        ("box:80", "http://box:80"),
        (" 'box:80' ", "http://box:80"),
        ('"box"', "http://box:11434"),
        (":8080", "http://127.0.0.1:8080"),
        ("1.2.3.4", "http://1.2.3.4:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:99", "http://127.0.0.1:99"),
        ("http://0.0.0.0:99", "http://127.0.0.1:99"),
        ("::1", "http://[::1]:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("[::1]:99", "http://[::1]:99"),
        ("[::]:99", "http://[::1]:99"),
        ("::", "http://[::1]:11434"),
        ("http://box", "http://box:80"),
        ("https://box", "https://box:443"),
        ("https://box:99", "https://box:99"),
        ("ollama.com", "https://ollama.com:443"),
        ("box/a/b/", "http://box:11434/a/b"),
        ("https://box/api", "https://box:443/api"),
    ],
)
def test_the_address_of_the_server(value: str, url: str) -> None:
    assert base_url({"OLLAMA_HOST": value}) == url


@pytest.mark.parametrize("value", ["box:port", "box:65536", "http://box:-1"])
def test_an_address_without_a_valid_port_is_refused(value: str) -> None:
    with pytest.raises(Invalid, match="has no valid port"):
        base_url({"OLLAMA_HOST": value})


def test_our_variable_comes_first_unless_it_is_blank() -> None:
    assert base_url({"PADDOCK_HOST": "a", "OLLAMA_HOST": "b"}) == "http://a:11434"
    assert base_url({"PADDOCK_HOST": " ", "OLLAMA_HOST": "b"}) == "http://b:11434"
    assert base_url({}) == "http://127.0.0.1:11434"


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:1", True),
        ("http://127.3.2.1:1", True),
        ("http://[::1]:1", True),
        ("http://localhost:1", True),
        ("http://10.0.0.1:1", False),
        ("http://example.org:1", False),
    ],
)
def test_what_is_this_machine(url: str, here: bool) -> None:
    assert is_loopback(url) is here


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([], []),
        ([b"a\nb\n"], [b"a", b"b"]),
        ([b"a", b"b\nc", b"", b"d"], [b"ab", b"cd"]),
        ([b"\n\n \r\na\r\n"], [b"a\r"]),
        ([b"a\r\xe2\x80\xa8\x0b\x0c\x85b\n"], [b"a\r\xe2\x80\xa8\x0b\x0c\x85b"]),
    ],
)
def test_lines_end_at_line_feeds_only(chunks: Iterable[bytes], expected: list[bytes]) -> None:
    assert list(lines(chunks)) == expected


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":"model \'x\' not found"}', "model 'x' not found"),
        (b'{"error":{"message":"deep"}}', "deep"),
        (b"404 page not found\n", "404 page not found"),
        (b"", "something went wrong, please see the Paddock server's log for details"),
        (b"{}", "something went wrong, please see the Paddock server's log for details"),
    ],
)
def test_a_refusal_becomes_its_message(server: ScriptedServer, body: bytes, message: str) -> None:
    server.reply("POST", "/api/show", body, status=404)
    with Api(server.url) as api, pytest.raises(ServerError) as caught:
        api.show("x")
    assert caught.value.message == message
    assert caught.value.status == 404


def test_a_refused_stream_shows_its_status(server: ScriptedServer) -> None:
    server.reply("POST", "/api/chat", {"error": "no such model"}, status=404)
    with Api(server.url) as api, pytest.raises(ServerError) as caught:
        list(api.stream("/api/chat", {}))
    assert caught.value.message == "404 Not Found: no such model"


def test_an_error_in_a_stream_ends_it_after_what_came_before(server: ScriptedServer) -> None:
    server.stream("/api/chat", {"a": "x\u2028y"}, {"error": "crashed"}, {"b": 1})
    with Api(server.url) as api:
        stream = api.stream("/api/chat", {"q": "<\ud800"})
        assert next(stream) == {"a": "x\u2028y"}
        with pytest.raises(ServerError) as caught:
            next(stream)
    assert caught.value.message == "crashed"
    assert server.requests[-1].body == b'{"q":"\\u003c\xef\xbf\xbd"}'
    assert server.requests[-1].headers["accept"] == "application/x-ndjson"


def test_a_stream_that_breaks_off_is_an_error(server: ScriptedServer) -> None:
    def cut(exchange: Exchange) -> None:
        exchange._handler.send_response(200)
        exchange._handler.send_header("Content-Length", "100")
        exchange._handler.end_headers()
        exchange.send(b'{"a":1}\n')
        exchange._handler.close_connection = True

    server.on("POST", "/api/chat", cut)
    with (
        Api(server.url) as api,
        pytest.raises(ServerError, match=f"^lost the server at {server.url}"),
    ):
        list(api.stream("/api/chat", {}))


def test_a_server_that_is_down_is_reported_with_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with Api(url) as api, pytest.raises(ServerError) as caught:
        api.check()
    assert caught.value.message == (
        f"could not connect to the Paddock server at {url}; run 'paddock serve' to start it"
    )
    assert caught.value.status == 0


def test_an_unknown_host_is_reported() -> None:
    with Api("http://nowhere.invalid:1") as api, pytest.raises(ServerError) as caught:
        api.check()
    assert caught.value.message.startswith("could not reach http://nowhere.invalid:1: ")


def test_an_invalid_address_is_reported() -> None:
    with pytest.raises(ServerError) as caught:
        Api("http://[::zz]:1")
    assert caught.value.message.startswith("http://[::zz]:1 is no address of a server: ")


@pytest.mark.parametrize(
    ("body", "message"),
    [(b"<html>", "does not speak JSON"), (b"[1]", "sent no JSON object")],
)
def test_another_program_at_the_address_is_reported(
    server: ScriptedServer, body: bytes, message: str
) -> None:
    server.reply("GET", "/api/tags", body)
    with Api(server.url) as api, pytest.raises(ServerError, match=f"{message}$"):
        api.models()


def test_a_path_in_the_address_is_put_before_every_path(server: ScriptedServer) -> None:
    server.reply("GET", "/deep/er/api/version", {"version": "1"})
    with Api(f"{server.url}/deep/er") as api:
        assert api.version() == "1"


def test_a_blob_is_there_or_not(server: ScriptedServer) -> None:
    server.reply("HEAD", "/api/blobs/sha256:a")
    server.reply("HEAD", "/api/blobs/sha256:c", status=500)
    with Api(server.url) as api:
        assert api.has_blob("sha256:a")
        assert not api.has_blob("sha256:b")
        with pytest.raises(ServerError):
            api.has_blob("sha256:c")


def test_an_upload_says_its_length(server: ScriptedServer) -> None:
    server.reply("POST", "/api/blobs/sha256:a", status=201)
    with Api(server.url) as api:
        api.upload("sha256:a", 4, iter([b"ab", b"cd"]))
    sent = server.requests[-1]
    assert (sent.body, sent.headers["content-length"]) == (b"abcd", "4")
    assert "transfer-encoding" not in sent.headers


def test_a_refused_upload_is_an_error(server: ScriptedServer) -> None:
    server.reply("POST", "/api/blobs/sha256:a", {"error": "digest mismatch"}, status=400)
    with Api(server.url) as api, pytest.raises(ServerError, match=r"^digest mismatch$"):
        api.upload("sha256:a", 1, iter([b"a"]))


def test_a_stream_that_is_closed_hangs_up(server: ScriptedServer) -> None:
    gone = threading.Event()

    def endless(exchange: Exchange) -> None:
        exchange.start()
        exchange.send(b'{"a":1}\n')
        exchange.wait_for_hang_up()
        gone.set()

    server.on("POST", "/api/chat", endless)
    with Api(server.url) as api:
        stream = api.stream("/api/chat", {})
        assert next(stream) == {"a": 1}
        stream.close()
        assert gone.wait(20)


def test_the_client_says_who_it_is(server: ScriptedServer) -> None:
    with Api(server.url) as api:
        api.check()
    assert server.requests[-1].headers["user-agent"].startswith("paddock/")


def test_this_machine_is_reached_without_a_proxy(
    server: ScriptedServer, start_command: StartCommand
) -> None:
    server.reply("GET", "/api/version", {"version": "9.9"})
    with socket.create_server(("127.0.0.1", 0)) as free:
        nowhere = f"http://127.0.0.1:{free.getsockname()[1]}"
    environ = {"HTTP_PROXY": nowhere, "http_proxy": nowhere, "NO_PROXY": "", "no_proxy": ""}
    process = start_command("version", environ=environ, stdout=subprocess.PIPE)
    out, _ = process.communicate(timeout=20)
    assert out.startswith(b"paddock version is 9.9\n")


def test_a_reply_needs_no_body(server: ScriptedServer) -> None:
    server.on("POST", "/api/copy", lambda exchange: finish(exchange, 200, b""))
    with Api(server.url) as api:
        api.copy("a", "b")
    assert server.last("/api/copy") == {"source": "a", "destination": "b"}
