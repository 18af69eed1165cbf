"""Ollama's own Python client, both of its kinds, against the server: every method it has.

Left out is what asks ollama.com (the searches), and what no release of Ollama answers.
"""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import ollama
import pytest
from anyio.to_thread import run_sync
from pydantic import BaseModel

from runners.build import scripted_model
from tests.fakes.process import Gateway
from tests.fakes.registry import running_registry
from tests.fakes.scripts import JSON, PLAIN, THINKING

pytestmark = [pytest.mark.engine, pytest.mark.anyio]

HI = [{"role": "user", "content": "hi"}]


class Client:
    """Either kind of client, asked in the same way."""

    def __init__(self, kind: str, host: str) -> None:
        self._client: Any
        if kind == "sync":
            self._client = ollama.Client(host, trust_env=False)
        else:
            self._client = ollama.AsyncClient(host, trust_env=False)
        self._threaded = kind == "sync"

    async def ask(self, method: str, /, *args: Any, **more: Any) -> Any:
        """The result of one method."""
        call = getattr(self._client, method)
        if self._threaded:
            return await run_sync(lambda: call(*args, **more))
        return await call(*args, **more)

    async def stream(self, method: str, /, *args: Any, **more: Any) -> list[Any]:
        """All that comes in a stream."""
        call = getattr(self._client, method)
        if self._threaded:
            return await run_sync(lambda: list(call(*args, stream=True, **more)))
        return [part async for part in await call(*args, stream=True, **more)]

    async def close(self) -> None:
        await self.ask("close")


class Answer(BaseModel):
    answer: int


@pytest.fixture(params=["sync", "async"])
async def client(request: pytest.FixtureRequest, served: Gateway) -> AsyncIterator[Client]:
    client = Client(request.param, served.url)
    yield client
    await client.close()


def weather(city: str) -> str:
    """Tell the weather.

    Args:
        city: where
    """
    return f"sunny in {city}"


async def test_a_chat(client: Client) -> None:
    reply = await client.ask("chat", "plain", HI)
    assert (reply.model, reply.message.role) == ("plain", "assistant")
    assert reply.message.content == PLAIN.text
    assert (reply.done, reply.done_reason) == (True, "stop")
    assert (reply.prompt_eval_count, reply.eval_count) == (22, 5)
    assert 0 < reply.eval_duration < reply.total_duration


async def test_a_streamed_chat(client: Client) -> None:
    parts = await client.stream("chat", "plain", HI, options={"num_predict": 2, "seed": 1})
    assert [part.message.content for part in parts] == ["Alpha ", "beta ", ""]
    assert [part.done_reason for part in parts] == [None, None, "length"]


async def test_what_follows_a_prompt(client: Client) -> None:
    reply = await client.ask("generate", "plain", "hi", system="Be brief.", keep_alive="1m")
    assert reply.response == PLAIN.text
    assert len(reply.context) > reply.eval_count == 5
    raw = await client.ask("generate", "plain", "hi", raw=True)
    assert (raw.response, raw.context) == (PLAIN.text, None)


async def test_a_streamed_generation(client: Client) -> None:
    parts = await client.stream("generate", "plain", "hi", template="{{ .Prompt }}!")
    assert [part.response for part in parts] == [*PLAIN.pieces, ""]
    assert parts[-1].done_reason == "stop"


async def test_loading_and_unloading(client: Client) -> None:
    loaded = await client.ask("generate", "other")
    assert (loaded.response, loaded.done_reason) == ("", "load")
    running = {model.model: model for model in (await client.ask("ps")).models}
    assert running["other:latest"].context_length == 512
    assert running["other:latest"].details.family == "llama"
    assert running["other:latest"].size >= running["other:latest"].size_vram
    unloaded = await client.ask("generate", "other", keep_alive=0)
    assert unloaded.done_reason == "unload"


async def test_a_function_of_python_is_called(client: Client) -> None:
    reply = await client.ask("chat", "tools", HI, tools=[weather])
    (call,) = reply.message.tool_calls
    assert (call.function.name, call.function.arguments) == ("weather", {"city": "Paris"})
    output = {"role": "tool", "tool_name": "weather", "content": weather(**call.function.arguments)}
    again = await client.ask("chat", "plain", [*HI, reply.message, output])
    assert again.message.content == PLAIN.text


async def test_a_streamed_call_of_a_function(client: Client) -> None:
    parts = await client.stream("chat", "tools", HI, tools=[weather])
    calls = [call for part in parts for call in part.message.tool_calls or ()]
    assert [call.function.arguments for call in calls] == [{"city": "Paris"}]


@pytest.mark.parametrize("wanted", [Answer.model_json_schema(), "json"], ids=["schema", "json"])
async def test_an_answer_of_a_form(client: Client, wanted: str | Mapping[str, Any]) -> None:
    chat = await client.ask("chat", "json", HI, format=wanted)
    generated = await client.ask("generate", "json", "hi", format=wanted)
    assert Answer.model_validate_json(chat.message.content).answer == 42
    assert Answer.model_validate_json(generated.response).answer == 42
    assert chat.message.content == JSON.text


async def test_thoughts_stand_apart(client: Client) -> None:
    chat = await client.ask("chat", "thinking", HI, think=True)
    assert (chat.message.thinking, chat.message.content) == ("Let me see.\n", "It is 4.")
    generated = await client.stream("generate", "thinking", "hi", think=True)
    assert "".join(part.thinking or "" for part in generated) == "Let me see.\n"
    assert "".join(part.response for part in generated) == "It is 4."
    without = await client.ask("chat", "thinking", HI, think=False)
    assert (without.message.thinking, without.message.content) == (None, "No thoughts.")
    assert THINKING.pieces[0] == "<think>"


async def test_alternatives_to_each_token(client: Client) -> None:
    reply = await client.ask("chat", "plain", HI, logprobs=True, top_logprobs=2)
    assert [entry.token for entry in reply.logprobs[:4]] == list(PLAIN.pieces)
    assert {len(entry.top_logprobs) for entry in reply.logprobs} == {2}


async def test_an_image_is_refused_by_a_model_that_cannot_see(client: Client) -> None:
    message = {"role": "user", "content": "hi", "images": [b"\x89PNG"]}
    with pytest.raises(ollama.ResponseError) as caught:
        await client.ask("chat", "plain", [message])
    assert (caught.value.status_code, "image" in caught.value.error) == (400, True)


async def test_errors_have_a_status_and_a_text(client: Client) -> None:
    with pytest.raises(ollama.ResponseError) as caught:
        await client.ask("chat", "nope", HI)
    assert (caught.value.status_code, caught.value.error) == (404, "model 'nope' not found")
    with pytest.raises(ollama.ResponseError) as caught:
        await client.stream("chat", "nope", HI)
    assert (caught.value.status_code, caught.value.error) == (404, "model 'nope' not found")
    with pytest.raises(ollama.ResponseError) as caught:
        await client.ask("chat", "plain", HI, think=True)
    assert caught.value.error == '"plain" does not support thinking'


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_server_that_is_not_there(kind: str) -> None:
    with pytest.raises(ConnectionError, match="Failed to connect"):
        await Client(kind, "http://127.0.0.1:1").ask("list")


async def test_models_are_listed_and_shown(client: Client) -> None:
    models = {model.model: model for model in (await client.ask("list")).models}
    assert {"plain:latest", "tools:latest"} <= models.keys()
    listed = models["plain:latest"]
    assert (listed.details.format, listed.details.family) == ("gguf", "llama")
    assert listed.modified_at.year >= 2024
    shown = await client.ask("show", "plain")
    assert shown.modelinfo["general.architecture"] == "llama"
    assert shown.modified_at == listed.modified_at
    assert "completion" in shown.capabilities
    assert (await client.ask("show", "tutored")).parameters.count("\n") == 1


async def test_a_model_is_made_copied_and_deleted(client: Client, tmp_path: Path) -> None:
    path = scripted_model.write(tmp_path / "m.gguf", ("Made ", "here."))
    digest = await client.ask("create_blob", path)
    assert await client.ask("create_blob", str(path)) == digest
    made = await client.ask("create", "made", files={"m.gguf": digest}, system="Be brief.")
    assert made.status == "success"
    steps = await client.stream(
        "create",
        "made-of",
        from_="made",
        template="{{ .Prompt }}",
        license=["MIT"],
        parameters={"num_predict": 1, "stop": ["x"]},
        messages=[{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hi."}],
    )
    assert [step.status for step in steps][-1] == "success"
    assert (await client.ask("chat", "made-of", HI)).message.content == "Made "
    assert (await client.ask("copy", "made-of", "made-too")).status == "success"
    shown = await client.ask("show", "made-too")
    assert (shown.template, shown.license) == ("{{ .Prompt }}", "MIT")
    for name in ("made", "made-of", "made-too"):
        assert (await client.ask("delete", name)).status == "success"
    with pytest.raises(ollama.ResponseError) as caught:
        await client.ask("delete", "made")
    assert (caught.value.status_code, caught.value.error) == (404, "model 'made' not found")


async def test_embeddings(client: Client, tmp_path: Path) -> None:
    metadata = {"llama.pooling_type": 1}
    path = scripted_model.write(tmp_path / "e.gguf", ("Mute.",), metadata=metadata)
    digest = await client.ask("create_blob", path)
    await client.ask("create", "embedding", files={"m.gguf": digest})
    reply = await client.ask("embed", "embedding", ["a", "b", "a"])
    first, second, third = reply.embeddings
    assert first == third != second
    assert sum(number**2 for number in first) == pytest.approx(1.0)
    (short,) = (await client.ask("embed", "embedding", "a", dimensions=8)).embeddings
    assert len(short) == 8
    old = (await client.ask("embeddings", "embedding", "a")).embedding
    assert len(old) == len(first)
    await client.ask("delete", "embedding")


async def test_a_model_goes_to_a_registry_and_comes_back(client: Client) -> None:
    async with running_registry() as registry:
        name = f"{registry.host}/library/travelled"
        assert (await client.ask("copy", "plain", name)).status == "success"
        pushed = await client.stream("push", name, insecure=True)
        assert pushed[-1].status == "success"
        assert {step.total for step in pushed if step.digest}
        assert (await client.ask("delete", name)).status == "success"
        pulled = await client.stream("pull", name, insecure=True)
        assert pulled[-1].status == "success"
        assert (await client.ask("pull", name, insecure=True)).status == "success"
        assert (await client.ask("push", name, insecure=True)).status == "success"
        assert (await client.ask("chat", name, HI)).message.content == PLAIN.text
        await client.ask("delete", name)
        with pytest.raises(ollama.ResponseError):
            await client.ask("pull", f"{registry.host}/library/none", insecure=True)
