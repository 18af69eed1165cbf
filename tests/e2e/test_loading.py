"""What is loaded, for how long, at whose cost; and models that cannot be loaded."""

import contextlib
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Start
from tests.fakes.caller import Caller
from tests.fakes.process import Gateway, eventually
from tests.fakes.scripts import ENDLESS, OTHER, PLAIN, Scripted, create, upload

pytestmark = pytest.mark.engine

HI = [{"role": "user", "content": "hi"}]
STREAM = {"model": "endless", "messages": HI, "options": {"num_predict": -1}}
BUSY = "server busy, please try again.  maximum pending requests exceeded"


def chat(client: httpx.Client, model: str, **more: Any) -> httpx.Response:
    return client.post("/api/chat", json={"model": model, "messages": HI, "stream": False, **more})


def text(reply: httpx.Response) -> str:
    assert reply.status_code == 200, reply.text
    return str(reply.json()["message"]["content"])


def loaded(client: httpx.Client) -> dict[str, Mapping[str, Any]]:
    return {model["name"]: model for model in client.get("/api/ps").json()["models"]}


def left(model: Mapping[str, Any]) -> float:
    """Seconds until it goes."""
    stamp = str(model["expires_at"])
    moment = datetime.fromisoformat(f"{stamp[:19]}+00:00")
    return moment.timestamp() - time.time()


# Loading, unloading, staying


def test_an_empty_request_loads_and_another_unloads(fresh: Gateway) -> None:
    with fresh.client() as client:
        for path, body in (
            ("/api/chat", {"messages": []}),
            ("/api/generate", {"prompt": ""}),
        ):
            reply = client.post(path, json={"model": "plain", **body}).json()
            assert (reply["done"], reply["done_reason"]) == (True, "load")
            assert [*loaded(client)] == ["plain:latest"]
            reply = client.post(path, json={"model": "plain", "keep_alive": 0, **body}).json()
            assert (reply["done"], reply["done_reason"]) == (True, "unload")
            assert eventually(lambda: not loaded(client))
            eventually(lambda: not fresh.children())


def test_what_is_loaded_is_described(fresh: Gateway) -> None:
    with fresh.client() as client:
        assert text(chat(client, "plain")) == PLAIN.text
        tagged = {model["name"]: model for model in client.get("/api/tags").json()["models"]}
        model = loaded(client)["plain:latest"]
        assert model["model"] == "plain:latest"
        assert model["digest"] == tagged["plain:latest"]["digest"]
        assert model["context_length"] == 512
        assert model["details"]["family"] == "llama"
        assert model["size"] > tagged["plain:latest"]["size"]
        assert model["size_vram"] >= 0
        assert 290 < left(model) <= 300


def test_a_model_stays_as_long_as_it_was_told(fresh: Gateway) -> None:
    with fresh.client() as client:
        chat(client, "plain", keep_alive="90s")
        assert 80 < left(loaded(client)["plain:latest"]) <= 90
        chat(client, "plain", keep_alive=-1)
        assert left(loaded(client)["plain:latest"]) > 200 * 365 * 86400
        chat(client, "plain", keep_alive="200ms")
        assert eventually(lambda: not loaded(client), 5.0)
        eventually(lambda: not fresh.children())


def test_a_model_told_to_go_goes_once_it_has_answered(fresh: Gateway) -> None:
    with fresh.client() as client:
        assert text(chat(client, "plain", keep_alive=0)) == PLAIN.text
        assert eventually(lambda: not loaded(client), 5.0)


def test_the_settings_say_how_long_models_stay(start: Start) -> None:
    with start(keep_alive="2h").client() as client:
        chat(client, "plain")
        assert 7190 < left(loaded(client)["plain:latest"]) <= 7200


# Sharing


def test_four_requests_are_answered_at_once_by_one_runner(fresh: Gateway) -> None:
    with contextlib.ExitStack() as stack, fresh.client() as client:
        callers = [stack.enter_context(Caller(fresh.url, "/api/chat", STREAM)) for _ in range(4)]
        for caller in callers * 3:
            caller.more()
        assert len(fresh.children()) == 1
        with Caller(fresh.url, "/api/chat", STREAM) as fifth:
            assert [*loaded(client)] == ["endless:latest"]
            assert fifth.silent()
            callers[0].leave()
            fifth.first()
            assert len(fresh.children()) == 1


def test_two_models_are_loaded_side_by_side(fresh: Gateway) -> None:
    with fresh.client() as client, Caller(fresh.url, "/api/chat", STREAM) as endless:
        endless.first()
        assert text(chat(client, "plain")) == PLAIN.text
        assert {*loaded(client)} == {"endless:latest", "plain:latest"}
        assert len(fresh.children()) == 2
        endless.more()


def test_a_model_gives_way_to_another_when_only_one_may_be_loaded(start: Start) -> None:
    gateway = start(max_loaded_models=1)
    with gateway.client() as client:
        for name, script in (("plain", PLAIN), ("other", OTHER), ("plain", PLAIN)):
            assert text(chat(client, name)) == script.text
            assert [*loaded(client)] == [f"{name}:latest"]
            assert len(gateway.children()) == 1
    assert gateway.log_text().count("start runner") == 3


def test_a_busy_model_is_not_taken_away(start: Start) -> None:
    gateway = start(max_loaded_models=1)
    with gateway.client() as client, Caller(gateway.url, "/api/chat", STREAM) as endless:
        endless.first()
        with Caller(gateway.url, "/api/chat", {"model": "plain", "messages": HI}) as waiting:
            assert [*loaded(client)] == ["endless:latest"]
            assert waiting.silent()
            endless.leave()
            waiting.until(PLAIN.pieces[-1].encode())
        assert [*loaded(client)] == ["plain:latest"]


def test_a_full_line_turns_requests_away(start: Start) -> None:
    gateway = start(num_parallel=1, max_queue=1)
    with (
        gateway.client() as client,
        Caller(gateway.url, "/api/chat", STREAM) as first,
    ):
        first.first()
        with Caller(gateway.url, "/api/chat", STREAM) as second:
            assert [*loaded(client)] == ["endless:latest"]
            assert second.silent()
            reply = chat(client, "endless")
            assert (reply.status_code, reply.json()) == (503, {"error": BUSY})
            assert reply.headers["retry-after"] == "1"
            reply = client.post("/v1/chat/completions", json={"model": "endless", "messages": HI})
            assert reply.status_code == 503
            assert reply.json()["error"]["message"] == BUSY
            assert reply.headers["retry-after"] == "1"
            first.leave()
            second.first()
            assert second.status == 200


def test_another_context_is_another_runner(fresh: Gateway) -> None:
    with fresh.client() as client:
        long = {"options": {"num_ctx": 1024}}
        assert text(chat(client, "plain")) == PLAIN.text
        assert text(chat(client, "plain", **long)) == PLAIN.text
        lengths = [m["context_length"] for m in client.get("/api/ps").json()["models"]]
        assert 1024 in lengths


# Broken models


def test_garbage_is_no_model(client: httpx.Client) -> None:
    digest = upload(client, b"not a model at all" * 100)
    reply = client.post("/api/create", json={"model": "bad", "files": {"bad.gguf": digest}})
    assert reply.status_code == 400
    assert "GGUF" in reply.json()["error"]
    assert chat(client, "bad").status_code == 404


def test_a_model_the_engine_does_not_know_fails_in_its_words_and_not_for_ever(
    start: Start,
) -> None:
    words, one = "unknown model architecture: 'alien'", start()
    with one.client() as client:
        reply = chat(client, "alien")
        assert reply.status_code == 500
        assert words in reply.json()["error"]
        reply = client.post("/v1/chat/completions", json={"model": "alien", "messages": HI})
        assert reply.status_code == 500
        assert words in reply.json()["error"]["message"]
        for _ in range(3):
            reply = chat(client, "alien")
            assert reply.status_code == 503
            assert words in reply.json()["error"]
            assert int(reply.headers["retry-after"]) >= 1
        assert text(chat(client, "plain")) == PLAIN.text
    assert one.log_text().count("start runner") == 3


def test_weights_that_vanish_are_missed(fresh: Gateway, folder: Path) -> None:
    script = Scripted(("Now ", "you ", "see ", "me."))
    with fresh.client() as client:
        digest = create(client, "here", script, folder)
        assert text(chat(client, "here", keep_alive=0)) == script.text
        eventually(lambda: not fresh.children())
        (folder / "models" / "blobs" / digest.replace(":", "-")).unlink()
        reply = chat(client, "here")
        assert reply.status_code == 500
        assert "No such file or directory" in reply.json()["error"]


def test_the_endless_model_is_what_its_name_says(client: httpx.Client) -> None:
    """Or the tests of waiting would prove nothing."""
    reply = chat(client, "endless", options={"num_predict": 200})
    assert text(reply) == ENDLESS.text * 66 + "tick tack "
