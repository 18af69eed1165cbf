"""Images, seen by the real engine: a model that says what colour it sees most of."""

import base64
import io
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from gateway.store.gguf import read_header
from runners import Engine
from runners.build.scripted_model import CHATML
from tests.fakes import projector
from tests.fakes.process import Gateway, gateway
from tests.fakes.projector import BLIND, SIDE, TOKENS
from tests.fakes.scripts import PLAIN, create, upload

pytestmark = pytest.mark.engine

TEMPLATE = "{{ range .Messages }}{{ .Role }}: {{ .Content }}\n{{ end }}assistant: "
COLOURS = {"Red": (255, 0, 0), "Green": (0, 255, 0), "Blue": (0, 0, 255)}
ONE = {"num_predict": 1}
NO_IMAGES = "this model does not support image input"
NO_SOUND = "this model does not support audio input"
BROKEN = base64.b64encode(b"\x89PNG\r\n\x1a\nno image").decode()
SOUND = base64.b64encode(b"RIFF\x24\0\0\0WAVEfmt ").decode()


@pytest.fixture(scope="module")
def serving(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("vision")
    with gateway(folder, engine=engine.server, num_parallel=2) as running:
        with running.client() as client:
            seeing(client, "native", folder)
            seeing(client, "worded", folder, template=TEMPLATE)
            create(client, "blind", PLAIN, folder)
        yield running


@pytest.fixture
def client(serving: Gateway) -> Iterator[httpx.Client]:
    with serving.client() as client:
        yield client


def seeing(client: httpx.Client, name: str, folder: Path, **recipe: Any) -> None:
    """Make a model of two files. Without the GGUF's own template a TEMPLATE is not overruled."""
    template = None if recipe else CHATML
    text = projector.model(folder / f"{name}.gguf", template)
    tower = projector.vision(folder / f"{name}-tower.gguf", text)
    files = {path.name: upload(client, path.read_bytes()) for path in (text, tower)}
    body = {"model": name, "files": files, "stream": False, **recipe}
    assert client.post("/api/create", json=body).json() == {"status": "success"}


def picture(colour: str, form: str = "PNG", size: tuple[int, int] = (SIDE, SIDE)) -> str:
    """An image of one colour, base64."""
    out = io.BytesIO()
    Image.new("RGB", size, COLOURS[colour]).save(out, form)
    return base64.b64encode(out.getvalue()).decode()


def url(colour: str, form: str = "PNG") -> str:
    return f"data:image/{form.lower()};base64,{picture(colour, form)}"


def ask(client: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    reply = client.post(path, json={"stream": False, **body})
    assert reply.status_code == 200, reply.text
    value: dict[str, Any] = reply.json()
    return value


def chat(client: httpx.Client, *images: str, model: str = "native") -> dict[str, Any]:
    message = {"role": "user", "content": "look", "images": images}
    return ask(client, "/api/chat", model=model, messages=[message], options=ONE)


def generate(client: httpx.Client, prompt: str, *images: str, **body: Any) -> dict[str, Any]:
    whole = {"model": "worded", "prompt": prompt, "images": images, "options": ONE, **body}
    return ask(client, "/api/generate", **whole)


def completion(part: Any, model: str = "native") -> dict[str, Any]:
    """The body of a chat completion with one part besides text."""
    content = [{"type": "text", "text": "look"}, part]
    return {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": 1}


def image_part(address: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": address}}


def requests(model: str, data: str) -> dict[str, dict[str, Any]]:
    """An image, base64, for every endpoint, by its path."""
    source = {"type": "base64", "media_type": "image/png", "data": data}
    address = f"data:image/png;base64,{data}"
    return {
        "/api/chat": {
            "model": model,
            "messages": [{"role": "user", "content": "look", "images": [data]}],
            "options": ONE,
            "stream": False,
        },
        "/api/generate": {
            "model": model,
            "prompt": "look",
            "images": [data],
            "options": ONE,
            "stream": False,
        },
        "/v1/chat/completions": completion(image_part(address), model),
        "/v1/responses": {
            "model": model,
            "input": [
                {"role": "user", "content": [{"type": "input_image", "image_url": address}]},
            ],
            "max_output_tokens": 1,
        },
        "/v1/messages": {
            "model": model,
            "messages": [{"role": "user", "content": [{"type": "image", "source": source}]}],
            "max_tokens": 1,
        },
    }


def output(path: str, reply: dict[str, Any]) -> str:
    """The text of a reply."""
    text = {
        "/api/chat": lambda: reply["message"]["content"],
        "/api/generate": lambda: reply["response"],
        "/v1/chat/completions": lambda: reply["choices"][0]["message"]["content"],
        "/v1/responses": lambda: reply["output"][-1]["content"][0]["text"],
        "/v1/messages": lambda: reply["content"][0]["text"],
    }[path]()
    return str(text)


def refusal(client: httpx.Client, path: str, body: dict[str, Any]) -> tuple[int, str]:
    reply = client.post(path, json=body)
    error = reply.json()["error"]
    return reply.status_code, error["message"] if path.startswith("/v1/") else error


PATHS = tuple(requests("", ""))


def test_show_lists_vision_and_the_projector(client: httpx.Client) -> None:
    shown = ask(client, "/api/show", model="native")
    assert shown["capabilities"] == ["completion", "vision"]
    assert shown["projector_info"]["clip.projector_type"] == "mlp"
    assert ask(client, "/api/show", model="blind")["capabilities"] == ["completion"]


def test_the_projector_is_loaded_with_the_model(serving: Gateway, client: httpx.Client) -> None:
    chat(client)
    commands = [child.cmdline() for child in serving.children()]
    (command,) = [command for command in commands if "--mmproj" in command]
    header = read_header(Path(command[command.index("--mmproj") + 1]))
    assert header.get("projector_type") == "mlp"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("model", ["native", "worded"])
def test_every_dialect_shows_images(client: httpx.Client, path: str, model: str) -> None:
    for colour in COLOURS:
        reply = client.post(path, json=requests(model, picture(colour))[path])
        assert reply.status_code == 200, reply.text
        assert output(path, reply.json()) == colour


def test_without_an_image_nothing_is_seen(client: httpx.Client) -> None:
    for model in ("native", "worded"):
        assert chat(client, model=model)["message"]["content"] == BLIND[0]


@pytest.mark.parametrize("model", ["native", "worded"])
def test_an_image_counts_as_its_tokens(client: httpx.Client, model: str) -> None:
    none, one, two = (
        chat(client, *[picture("Red")] * count, model=model)["prompt_eval_count"]
        for count in (0, 1, 2)
    )
    assert two - one == TOKENS
    assert TOKENS <= one - none <= TOKENS + 1  # the native path may put a newline before it


def test_all_images_of_a_message_are_seen(client: httpx.Client) -> None:
    red, blue = picture("Red"), picture("Blue")
    for model in ("native", "worded"):
        assert chat(client, red, blue, blue, model=model)["message"]["content"] == "Blue"
        assert chat(client, red, blue, red, model=model)["message"]["content"] == "Red"


@pytest.mark.parametrize("model", ["native", "worded"])
def test_images_may_follow_each_other_in_any_order(client: httpx.Client, model: str) -> None:
    """The engine refuses prompts that part from its cache between two images, at first."""
    red, green, blue = map(picture, COLOURS)
    for order in ((red, green, green), (red, blue, blue), (red, red, blue), (red, green, green)):
        reply = chat(client, *order, model=model)
        most = max(order, key=order.count)
        assert picture(reply["message"]["content"]) == most


def test_markers_of_a_raw_prompt_stand_for_its_images(client: httpx.Client) -> None:
    images = [picture("Red"), picture("Green")]
    both = generate(client, "[img-0] [img-1] [img-1] what?", *images, raw=True)
    first = generate(client, "[img-0] what?", *images, raw=True)
    second = generate(client, "[img-1] what?", *images, raw=True)
    none = generate(client, "what?", *images, raw=True)
    assert [reply["response"] for reply in (first, second, none)] == ["Red", "Green", BLIND[0]]
    assert first["prompt_eval_count"] == none["prompt_eval_count"] + len(" ") + TOKENS
    assert both["prompt_eval_count"] == none["prompt_eval_count"] + len("  [img-1] ") + 2 * TOKENS


@pytest.mark.parametrize("prompt", ["[img-0]", "What is on [img-0]"])
def test_a_prompt_may_end_with_an_image(client: httpx.Client, prompt: str) -> None:
    assert generate(client, prompt, picture("Blue"), raw=True)["response"] == "Blue"
    assert generate(client, "is: [img]", picture("Blue"), template="{{ .Prompt }}")["done"]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_images_of_these_kinds_are_read(client: httpx.Client, form: str) -> None:
    for path, body in requests("native", picture("Green", form)).items():
        assert output(path, client.post(path, json=body).json()) == "Green"


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3000, 2000)])
def test_images_of_any_size_are_read(client: httpx.Client, size: tuple[int, int]) -> None:
    """This projector has one size of its own; a strip is filled up with another colour."""
    usual, other = chat(client, picture("Blue")), chat(client, picture("Blue", size=size))
    assert other["prompt_eval_count"] == usual["prompt_eval_count"]
    assert other["message"]["content"] in COLOURS


def test_an_image_url_may_be_a_bare_text(client: httpx.Client) -> None:
    part = {"type": "image_url", "image_url": url("Red", "WEBP")}
    reply = ask(client, "/v1/chat/completions", **completion(part))
    assert output("/v1/chat/completions", reply) == "Red"


def test_streamed_images_are_seen_too(client: httpx.Client) -> None:
    body = {**completion(image_part(url("Red"))), "stream": True}
    assert '"content":"Red"' in client.post("/v1/chat/completions", json=body).text


def test_models_without_vision_refuse_images(client: httpx.Client) -> None:
    for path, body in requests("blind", picture("Red")).items():
        assert refusal(client, path, body) == (400, NO_IMAGES)


def test_models_without_ears_refuse_sound(client: httpx.Client) -> None:
    part = {"type": "input_audio", "input_audio": {"data": SOUND, "format": "wav"}}
    heard = {path: body for path, body in requests("native", SOUND).items() if "/api/" in path}
    for path, body in {**heard, "/v1/chat/completions": completion(part)}.items():
        assert refusal(client, path, body) == (400, NO_SOUND)
        assert refusal(client, path, {**body, "model": "blind"}) == (400, NO_SOUND)


def test_broken_images_are_the_clients_fault(serving: Gateway, client: httpx.Client) -> None:
    chat(client)
    children = serving.children()
    webp = base64.b64encode(b"RIFF\x10\0\0\0WEBPVP8 no image").decode()
    for data in (BROKEN, webp, SOUND):
        for path, body in requests("native", data).items():
            status, message = refusal(client, path, body)
            assert (status, message != "") == (400, True)
    assert serving.children() == children


def test_nobody_makes_the_gateway_fetch_an_image(client: httpx.Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.setblocking(False)
        address = f"http://127.0.0.1:{trap.getsockname()[1]}/image.png"
        source = {"type": "url", "url": address}
        bodies = requests("native", address)
        bodies["/v1/chat/completions"] = completion(image_part(address))
        bodies["/v1/responses"]["input"][0]["content"][0]["image_url"] = address
        bodies["/v1/messages"]["messages"][0]["content"][0]["source"] = source
        for path, body in bodies.items():
            assert refusal(client, path, body)[0] == 400
        sound = {"type": "input_audio", "input_audio": {"data": address, "format": "wav"}}
        assert refusal(client, "/v1/chat/completions", completion(sound))[0] == 400
        with pytest.raises(BlockingIOError):
            trap.accept()


def test_long_conversations_lose_their_oldest_images(client: httpx.Client) -> None:
    """An image is taken to need 768 tokens, of which here two do not fit with so much text."""
    old = {"role": "user", "content": "o" * 1200, "images": [picture("Red")] * 3}
    new = {"role": "user", "content": "n" * 1200, "images": [picture("Blue")]}
    body = {"model": "worded", "messages": [old, new], "options": {**ONE, "num_ctx": 2048}}
    reply = ask(client, "/api/chat", **body)
    assert reply["message"]["content"] == "Blue"
    assert 1200 + TOKENS < reply["prompt_eval_count"] < 1300
