"""Looking models up, and remembering under which name a runner was asked for."""

import pytest

from gateway.errors import Forbidden, Invalid, NotFound
from gateway.inference.options import Options, merge
from gateway.store.library import Library
from runners import Limits
from tests.fakes.server import Gateway, open_gateway

pytestmark = pytest.mark.anyio

SMALL = merge({}, {"num_ctx": 256})[0]
CHAT = {"messages": [{"role": "user", "content": "hi"}], "stream": False}


async def shown(gateway: Gateway) -> list[str]:
    return [row["name"] for row in (await gateway.client.get("/api/ps")).json()["models"]]


async def test_a_model_is_found_in_any_case_and_kept() -> None:
    async with open_gateway() as gateway:
        added = gateway.add("Ns/Mod:Tag")
        services = gateway.services
        first = await services.models.find(" ns/mod:TAG ")
        assert first.name == added.name
        assert services.models.peek("Ns/Mod:Tag") is services.library.peek(added.name) is not None
        assert services.models.peek("other") is None


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("nope", NotFound, "model 'nope' not found"),
        ("No/Such:1", NotFound, "model 'No/Such:1' not found"),
        ("a b", Invalid, "invalid model name"),
        ("", Invalid, "model is required"),
        ("m:cloud", Forbidden, "ollama cloud is disabled: remote model is unavailable"),
    ],
)
async def test_a_name_that_means_nothing_here_is_told_as_it_was_sent(
    name: str, kind: type[Exception], message: str
) -> None:
    async with open_gateway() as gateway:
        with pytest.raises(kind) as caught:
            await gateway.services.models.find(name)
        assert str(caught.value) == message


async def test_a_model_that_was_removed_is_gone_at_once() -> None:
    async with open_gateway() as gateway:
        model = gateway.add()
        assert await gateway.services.models.find("m") == model
        gateway.services.library.delete(model.name)
        with pytest.raises(NotFound):
            await gateway.services.models.find("m")


async def test_weights_that_vanished_before_they_were_read_are_missed_by_name() -> None:
    async with open_gateway() as gateway:
        gateway.add("mod").weights.unlink()
        gateway.services.models.library = Library(gateway.services.library.root)
        with pytest.raises(NotFound, match="the weights of model 'mod' are missing"):
            await gateway.services.models.find("mod")


async def test_a_spec_takes_what_is_left_open_from_the_defaults() -> None:
    async with open_gateway() as gateway:
        services = gateway.services
        spec, _ = services.models.spec(gateway.add(), Options(), shift=False)
        assert (spec.context, spec.parallel, spec.context_shift) == (1024, 2, False)
        assert services.models.spec(gateway.add(), SMALL)[0].context == 256


async def test_a_model_without_weights_cannot_be_run() -> None:
    async with open_gateway() as gateway:
        gateway.add("parts", pieces=("x1",))
        manifests = gateway.services.library.manifests
        path = manifests.folder / "registry.ollama.ai/library/bare/latest"
        path.parent.mkdir(parents=True)
        path.write_text('{"schemaVersion":2,"config":{"digest":""},"layers":[]}')
        model = await gateway.services.models.find("bare")
        with pytest.raises(NotFound) as caught:
            gateway.services.models.spec(model, Options())
        assert caught.value.message == "model 'bare:latest' has no weights that can be run"


async def test_a_runner_has_the_name_it_was_first_asked_for_under() -> None:
    async with open_gateway() as gateway:
        gateway.add("first")
        gateway.add("second")
        for name in ("first", "second"):
            await gateway.client.post("/api/chat", json={"model": name, **CHAT})
        assert len(gateway.scheduler.snapshot().runners) == 1
        assert await shown(gateway) == ["first:latest"]


async def test_the_same_weights_with_other_options_have_a_name_of_their_own() -> None:
    async with open_gateway() as gateway:
        gateway.add("first")
        gateway.add("second")
        await gateway.client.post("/api/chat", json={"model": "first", **CHAT})
        other = {"options": {"num_batch": 256}, "keep_alive": 900}
        await gateway.client.post("/api/chat", json={"model": "second", **CHAT, **other})
        assert await shown(gateway) == ["second:latest", "first:latest"]


async def test_a_smaller_context_than_that_of_a_runner_at_hand_starts_no_other() -> None:
    async with open_gateway() as gateway:
        gateway.add("m")
        lives = set()
        for size in (512, 256, 512):
            options = {"options": {"num_ctx": size}}
            reply = await gateway.client.post("/api/chat", json={"model": "m", **CHAT, **options})
            assert reply.status_code == 200
            lives |= {(r.id, r.spec.context) for r in gateway.scheduler.snapshot().runners}
        assert [context for _, context in lives] == [512]


async def test_a_larger_one_takes_the_place_of_the_smaller() -> None:
    async with open_gateway() as gateway:
        gateway.add("m")
        for size in (256, 512):
            options = {"options": {"num_ctx": size}}
            await gateway.client.post("/api/chat", json={"model": "m", **CHAT, **options})
        await gateway.until(lambda: len(gateway.scheduler.snapshot().runners) == 1)
        assert [r.spec.context for r in gateway.scheduler.snapshot().runners] == [512]


async def test_names_of_runners_that_are_gone_are_dropped_in_time() -> None:
    async with open_gateway() as gateway:
        services, model = gateway.services, gateway.add("first")
        for context in range(64, 64 + 300):
            latest, _ = services.models.spec(model, Options(num_ctx=context))
        assert len(services.models.loaded) <= 256
        assert services.models.loaded[latest] == model


async def test_a_name_is_forgotten_with_its_runner() -> None:
    async with open_gateway(limits=Limits(keep_alive=0.0)) as gateway:
        gateway.add("first")
        gateway.add("second")
        await gateway.client.post("/api/chat", json={"model": "first", **CHAT})
        await gateway.until(lambda: not gateway.scheduler.snapshot().runners)
        keep = {"keep_alive": 900}
        await gateway.client.post("/api/chat", json={"model": "second", **CHAT, **keep})
        assert await shown(gateway) == ["second:latest"]
        assert [model.name.model for model in gateway.services.models.loaded.values()] == ["second"]


async def test_a_spec_is_worked_out_once_for_the_same_options_only() -> None:
    async with open_gateway() as gateway:
        models, model = gateway.services.models, gateway.add()
        plain = models.spec(model, Options())
        assert models.spec(model, Options(temperature=0.1))[0] is plain[0]
        assert plain[1] == plain[0].context == 1024
        assert models.spec(model, Options(num_gpu=3))[0].gpu_layers == 3
        assert models.spec(model, Options(), shift=False)[0].context_shift is False
        # 512 is the default of num_batch, and only counts where somebody gave it.
        assert plain[0].batch is None
        assert models.spec(model, merge({}, {"num_batch": 512})[0])[0].batch == 512
        assert len(models._specs) == 4
