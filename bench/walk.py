"""`python -m bench.walk [--list]`: the files that one warm request enters, for each API.

A gateway over the real engine gets the same kind of request three times, with another prompt each
time, and Python's profiler watches the third. Counted are the files of `gateway/` and `runners/` of
which a function ran, on whatever thread, and those of them of which a coroutine or an asynchronous
generator ran. What takes requests from a socket is a layer of its own and counted apart.
"""

import argparse
import hashlib
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Client
from pathlib import Path

from bench import model
from bench.figures import grid
from bench.gateway import Gateway
from bench.load import BenchError
from bench.profiled import START, STOP

HTTP_LAYER = (
    "gateway/app.py",
    "gateway/http/guard.py",
    "gateway/http/",
    "gateway/http/http1.py",
    "gateway/http/listener.py",
    "gateway/http/request_log.py",
)
"""Files, and folders with all that is in them; one that is not there is no mistake."""

NATIVE, TEMPLATE, VECTORS = "native", "template", "vectors"
"""Models: with the chat template of its GGUF file; with a TEMPLATE of its own; for embeddings."""

_WARM_UPS = 2
_TOKENS = 8
_SMALL = model.Size(layers=2, width=64, hidden=96, head=32, words=61, context=512)
_POOLED = replace(_SMALL, pooling=1)
_GO_TEMPLATE = (
    "{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ end }}"
    "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
    "<|im_start|>assistant\n"
)


@dataclass(frozen=True, slots=True)
class Probe:
    """A request to an API. The prompt comes under `prompt`, as a message if that is `messages`."""

    name: str
    path: str
    model: str
    prompt: str
    fields: Mapping[str, object]
    ending: bytes
    """What a complete reply holds, and an error does not."""

    def body(self, text: str) -> dict[str, object]:
        chat = self.prompt == "messages"
        prompt = [{"role": "user", "content": text}] if chat else text
        return {"model": self.model, self.prompt: prompt, **self.fields}


_OLLAMA = {"options": {"num_predict": _TOKENS}}
_OPENAI = {"max_tokens": _TOKENS}
_STREAMED = {"max_tokens": _TOKENS, "stream": True}

PROBES = (
    Probe("Ollama chat, GGUF template", "/api/chat", NATIVE, "messages", _OLLAMA, b'"done":true'),
    Probe("Ollama chat, TEMPLATE", "/api/chat", TEMPLATE, "messages", _OLLAMA, b'"done":true'),
    Probe("Ollama generate", "/api/generate", NATIVE, "prompt", _OLLAMA, b'"done":true'),
    Probe(
        "OpenAI chat, streamed",
        "/v1/chat/completions",
        NATIVE,
        "messages",
        _STREAMED,
        b"data: [DONE]",
    ),
    Probe("OpenAI chat, whole", "/v1/chat/completions", NATIVE, "messages", _OPENAI, b'"choices":'),
    Probe("OpenAI completions", "/v1/completions", NATIVE, "prompt", _STREAMED, b"data: [DONE]"),
    Probe(
        "Anthropic messages",
        "/v1/messages",
        NATIVE,
        "messages",
        _STREAMED,
        b'"type":"message_stop"',
    ),
    Probe(
        "OpenAI responses",
        "/v1/responses",
        NATIVE,
        "input",
        {"max_output_tokens": _TOKENS, "stream": True},
        b'"type":"response.incomplete"',
    ),
    Probe("Ollama embed", "/api/embed", VECTORS, "input", {}, b'"embeddings":'),
)


@dataclass(frozen=True, slots=True)
class Walk:
    """The files of a request, in the order in which it entered them first."""

    name: str
    entered: Mapping[str, bool]
    """Whether a coroutine or an asynchronous generator of that file ran."""

    def files(self, *, http: bool) -> list[str]:
        """Those of the HTTP layer, or all others."""
        return [path for path in self.entered if in_http_layer(path) is http]

    def waiting(self, *, http: bool) -> list[str]:
        """Those of them with coroutines."""
        return [path for path in self.files(http=http) if self.entered[path]]


class ProfiledGateway(Gateway):
    """A gateway of which `record` says what a request enters."""

    def __init__(self, folder: Path, library: Path, engine: str) -> None:
        super().__init__(folder, library, engine)
        self._socket = str(folder / "profile.sock")
        self.command = ("-m", "bench.profiled", self._socket)

    def record(self, probe: Probe) -> Walk:
        """Raises BenchError if a reply is not complete, or if no file was entered."""
        for number in range(_WARM_UPS):
            self._answer(probe, f"warm-up {number}")
        try:
            with Client(self._socket, "AF_UNIX") as control:
                control.send(START)
                control.recv()
                self._answer(probe, "the one that counts")
                control.send(STOP)
                walk = Walk(probe.name, control.recv())
        except EOFError:
            raise BenchError(f"{probe.name}: the server ended, or is never at rest") from None
        if not walk.entered:
            raise BenchError(f"{probe.name}: the server runs from elsewhere than {Path.cwd()}")
        return walk

    def _answer(self, probe: Probe, text: str) -> None:
        # Some writers of JSON put a blank behind a colon and some do not; both are right.
        reply = self.call("POST", probe.path, probe.body(text)).replace(b'": ', b'":')
        if probe.ending not in reply:
            raise BenchError(f"{probe.name}: not a complete reply: {reply[-300:]!r}")


def in_http_layer(path: str) -> bool:
    return any(
        path.startswith(place) if place.endswith("/") else path == place for place in HTTP_LAYER
    )


def stock(gateway: Gateway, library: Path) -> None:
    """Put small models of random weights into the library of a running gateway."""
    for name, size, recipe in (
        (NATIVE, _SMALL, {}),
        (TEMPLATE, _SMALL, {"template": _GO_TEMPLATE}),
        (VECTORS, _POOLED, {}),
    ):
        blobs = library / "blobs"
        blobs.mkdir(parents=True, exist_ok=True)
        written = blobs / "new.gguf"
        model.write(written, 1, size)
        digest = hashlib.sha256(written.read_bytes()).hexdigest()
        written.replace(blobs / f"sha256-{digest}")
        files = {f"{name}.gguf": f"sha256:{digest}"}
        gateway.call("POST", "/api/create", {"model": name, "files": files, **recipe})


def table(walks: Sequence[Walk]) -> str:
    head = ("API", "files", "with coroutines", "HTTP layer", "with coroutines")
    rows = []
    for walk in walks:
        lists = [kind(http=http) for http in (False, True) for kind in (walk.files, walk.waiting)]
        rows.append((walk.name, *(str(len(paths)) for paths in lists)))
    return grid([head, *rows])


def listing(walk: Walk) -> str:
    """Its files, a star behind those with coroutines, and those of the HTTP layer below."""
    lines = [
        f"  {'(HTTP) ' if http else ''}{path}{' *' if walk.entered[path] else ''}"
        for http in (False, True)
        for path in walk.files(http=http)
    ]
    return "\n".join([walk.name, *lines])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.walk", description=__doc__)
    parser.add_argument("--list", action="store_true", help="name the files; * has coroutines")
    options = parser.parse_args()
    engine = os.environ.get("PADDOCK_ENGINE", "")
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            folder, library = Path(name), Path(name, "models")
            with ProfiledGateway(folder, library, engine) as gateway:
                stock(gateway, library)
                walks = [gateway.record(probe) for probe in PROBES]
    except BenchError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(table(walks), *(map(listing, walks) if options.list else ()), sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
