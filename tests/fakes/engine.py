"""The scripted engine: how it behaves, what its replies look like, and putting it into a folder.

`fake_engine` is for tests. The rest is what `llama_server.py`, the process, says. The replies have
the shapes of a real llama-server (revision 0c1e570), down to the HTTP chunks: the first text
travels with the role, the usage with the finish.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import struct
import sys
from binascii import b2a_base64, crc32
from pathlib import Path
from typing import Any

BUILD = "b1-0c1e570"
BEGIN_OF_TEXT, END_OF_TEXT = 1, 2
MARKER, PICTURE = "<__media__>", 7  # an image or a sound in a prompt, and its tokens if counted
TRAINED_CONTEXT, WIDTH = 131072, 8  # the latter of an embedding
LOADING = {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 500: "Internal Server Error"}
REASONS[503] = "Service Unavailable"
UNKNOWN = {"error": {"message": "File Not Found", "type": "not_found_error", "code": 404}}
SEEN = {BEGIN_OF_TEXT: "", END_OF_TEXT: ""}  # the text of every token number given out
TEMPLATE = (
    "{%- for m in messages -%}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{%- endfor -%}"
)
NO_PROMPT = "[json.exception.out_of_range.403] key 'prompt' not found"

encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def fake_engine(folder: Path, *behaviour: str) -> Path:
    """Put a fake llama-server, llama-fit-params and engine.json into `folder`; the server's path.

    `behaviour` are flags of `Plan`, for every start. The file `<model>.behaviour`, a JSON list,
    adds flags for one model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    script = Path(__file__).with_name("llama_server.py").resolve()
    command = shlex.join([sys.executable, "-S", "-E", str(script), *behaviour])
    for name in ("llama-server", "llama-fit-params"):
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec {command} -- "$@"\n')
        program.chmod(0o755)
    about = {"version": "fake", "flavour": "cpu", "flags": [], "notes": []}
    (folder / "engine.json").write_text(json.dumps(about))
    return folder / "llama-server"


class Plan:
    """How the fake behaves: `--load 2` sets `load`. Counts of -1 mean never; times are s."""

    load = 0.0  # how long loading takes
    never_ready = False  # answer 503 for ever
    no_protocol = False  # no state lines and no ear for stdin: only /health tells
    exit_on_load = -1  # end with this status instead of becoming ready
    fail_first = ""  # a path: the first start creates it and exits 1, later ones work
    illegal = False  # die by SIGILL instead of becoming ready
    say = ""  # the last words on stderr before any of these deaths
    chatty = 0  # lines printed on stderr while loading
    crash_after = -1  # die after so many tokens of a reply
    crash_signal = "SIGKILL"  # how `crash_after` dies
    crash_when_idle = False  # abort once ready, or as soon as `trigger` exists (which is removed)
    trigger = ""
    ignore_term = False  # deaf to SIGTERM, to the exit line and to the end of stdin
    reply = "Hello from the fake engine."  # one token per word
    formatted = ""  # said instead of `reply` where a JSON schema is asked for
    tokens = -1  # text tokens in a reply: the words again and again. -1: each once
    interval = 0.0  # between two tokens
    prefill = 0.0  # before the first token
    stall_after = -1  # fall silent after so many tokens, keeping slot and connection
    error_after = -1  # report a compute error after so many tokens
    devices = ""  # NAME:DESCRIPTION:TOTAL:FREE in MiB, parted by semicolons
    fit = "1 2 3"  # MiB of weights, context, compute: three words after the flag

    def __init__(self, flags: list[str]) -> None:
        rest = iter(flags)
        for flag in rest:
            name = flag.removeprefix("--").replace("-", "_")
            usual = vars(Plan).get(name)
            if not isinstance(usual, str | int | float):
                raise SystemExit(f"no such behaviour: {flag}")
            value: Any = usual is False or next(rest)
            if name == "fit":
                value = " ".join([value, next(rest), next(rest)])
            setattr(self, name, type(usual)(value))


def plan_for(flags: list[str], model: str) -> Plan:
    """The plan of the flags and of the file beside the model, if there is one."""
    beside = Path(f"{model}.behaviour")
    return Plan([*flags, *(json.loads(beside.read_text()) if beside.exists() else [])])


def option(argv: list[str], *names: str) -> str:
    """The value after the last of these names, or an empty text."""
    result = [argv[at + 1] for at in range(len(argv) - 1) if argv[at] in names]
    return result[-1] if result else ""


def fit_lines(plan: Plan, argv: list[str]) -> str:
    """What llama-fit-params prints: MiB of weights, context and compute.

    The devices in use share the plan's numbers evenly; with none in use they are the host's.
    """
    devices = [entry.partition(":")[0] for entry in plan.devices.split(";") if entry]
    wanted = option(argv, "-dev", "--device")
    used = [name for name in devices if not wanted or name in wanted.split(",")]
    if not used or option(argv, "-ngl", "--gpu-layers", "--n-gpu-layers") == "0":
        return f"Host {plan.fit} \n"
    shares = " ".join(str(int(part) // len(used)) for part in plan.fit.split())
    return "".join(f"{name} {shares} \n" for name in used) + "Host 0 0 0 \n"


def device_lines(plan: Plan) -> str:
    entry = re.compile("([^:;]+):([^;]*):([0-9]+):([0-9]+)")
    lines = entry.sub(r"  \1: \2 (\3 MiB, \4 MiB free)\n", plan.devices).replace(";", "")
    return "Available devices:\n" + (lines or "  (none)\n")


class Refused(Exception):
    """A request answered with an error body."""

    def __init__(self, status: int, kind: str, message: str, **more: int) -> None:
        self.status = status
        self.body = {"error": {"code": status, "message": message, "type": kind, **more}}


def split(text: str) -> list[str]:
    """Tokens of a text: it is cut after every space."""
    return [piece for piece in re.split("(?<= )", text) if piece]


def token_id(piece: str) -> int:
    """The same number for the same piece, in every process."""
    number = crc32(piece.encode(errors="replace")) & 0x7FFFFFFF
    SEEN[number] = piece
    return number


def words(prompt: Any) -> list[str]:
    """Tokens of a prompt: a text, one with media, or a list of texts and token numbers."""
    prompt = prompt["prompt_string"] if isinstance(prompt, dict) else prompt
    parts = [prompt] if isinstance(prompt, str) else prompt
    return [w for x in parts for w in (split(x) if isinstance(x, str) else [SEEN.get(x, "")])]


def apply_template(body: dict[str, Any], model: str = "") -> dict[str, Any]:
    """POST /apply-template, and the prompt of a chat: ChatML."""
    if not isinstance(body.get("messages"), list):
        raise Refused(400, "invalid_request_error", "'messages' is required")
    prompt = ""
    for message in body["messages"]:
        content = message.get("content") or ""
        if isinstance(content, list):
            content = "\n".join(part.get("text", MARKER) for part in content)
        prompt += f"<|im_start|>{message['role']}\n{content}<|im_end|>\n"
    more = body.get("add_generation_prompt", True)
    return {"prompt": prompt + ("<|im_start|>assistant\n" if more else "")}


def count(body: dict[str, Any], model: str) -> dict[str, Any]:
    """POST /v1/chat/completions/input_tokens: no token reaches across an image."""
    texts = apply_template(body)["prompt"].split(MARKER)
    return {"input_tokens": 1 + len(words(texts)) + PICTURE * (len(texts) - 1)}


def tokenize(body: dict[str, Any], model: str) -> dict[str, Any]:
    head = [BEGIN_OF_TEXT] if body.get("add_special") else []
    return {"tokens": [*head, *map(token_id, words(body.get("content", "")))]}


def detokenize(body: dict[str, Any], model: str) -> dict[str, Any]:
    return {"content": "".join(words(body.get("tokens", [])))}


def embeddings(body: dict[str, Any], model: str) -> dict[str, Any]:
    """POST /v1/embeddings: unit vectors that depend on the text alone."""
    given = body.get("input", [])
    if not given:
        raise Refused(400, "invalid_request_error", '"input" must not be empty')
    inputs = [given] if isinstance(given, str) or isinstance(given[0], int) else given
    data: list[dict[str, Any]] = []
    for index, each in enumerate(inputs):
        raw = [crc32(f"{at} {each}".encode()) / 2**31 - 1 for at in range(WIDTH)]
        vector = [value / sum(x * x for x in raw) ** 0.5 for value in raw]
        data.append({"embedding": vector, "index": index, "object": "embedding"})
        if body.get("encoding_format") == "base64":
            packed = b2a_base64(struct.pack(f"<{WIDTH}f", *vector), newline=False).decode()
            data[-1] |= {"embedding": packed, "encoding_format": "base64"}
    usage = dict.fromkeys(("prompt_tokens", "total_tokens"), sum(map(len, map(words, inputs))))
    return {"model": model, "object": "list", "usage": usage, "data": data}


class Script:
    """The words of every reply, ready to be sent."""

    def __init__(self, plan: Plan, reply: str = "") -> None:
        self.pieces = split(reply or plan.reply)
        self.quoted = [encode(piece).encode() for piece in self.pieces]
        self.ids = [token_id(piece) for piece in self.pieces]
        self.tokens = plan.tokens if plan.tokens >= 0 else len(self.pieces)


class Ask:
    """One generation: the request's wishes and the part of the script that it gets.

    A reply that ends by itself has one token more than its text, the end-of-text token.
    """

    def __init__(self, body: dict[str, Any], prompt: list[str], script: Script) -> None:
        self.body, self.prompt, self.script = body, "".join(prompt), script
        self.prompt_tokens = len(prompt)
        self.stream = bool(body.get("stream"))
        self.progress = self.stream and bool(body.get("return_progress"))
        limits = [body.get(key) for key in ("n_predict", "max_completion_tokens", "max_tokens")]
        limit = next((value for value in limits if value is not None), -1)
        self.limited = 0 <= limit <= script.tokens
        self.count = min(max(1, limit), script.tokens) if self.limited else script.tokens
        self.predicted = self.count + (not self.limited)
        self.reason = "length" if self.limited else "stop"
        self.seconds = (0.0, 0.0)  # prompt and prediction; known when it is over

    def cycle(self, values: list[Any]) -> list[Any]:
        return [values[number % len(values)] for number in range(self.count)]

    def closing(self) -> dict[str, Any]:
        """The fields `usage` and `timings`."""
        made, given = self.predicted, self.prompt_tokens
        usage = {"completion_tokens": made, "prompt_tokens": given, "total_tokens": given + made}
        timings: dict[str, float] = {"cache_n": 0}
        for kind, n, seconds in zip(
            ("prompt", "predicted"), (given, made), self.seconds, strict=True
        ):
            ms = round(seconds * 1e3, 3)
            timings |= {f"{kind}_n": n, f"{kind}_ms": ms, f"{kind}_per_token_ms": ms / (n or 1)}
            timings[f"{kind}_per_second"] = 1e3 * n / ms if ms else 0.0
        return {
            "usage": usage | {"prompt_tokens_details": {"cached_tokens": 0}},
            "timings": timings,
        }


def event(value: Any) -> bytes:
    return b"data: %b\n\n" % encode(value).encode(errors="replace")


DONE = b"data: [DONE]\n\n"


class Shape:
    """How a route writes a generation, as events: here POST /v1/completions, the plainest."""

    def __init__(self, ask: Ask, model: str, now: float) -> None:
        self.ask, self.quoted = ask, ask.script.quoted
        self.key = {"id": f"chatcmpl-{os.urandom(16).hex()}"}
        self.reported = {"created": int(now), "model": model, "system_fingerprint": BUILD}
        self.before, self.after = event(self.frame("@@")).split(b'"@@"')

    def frame(self, text: str | None, reason: str | None = None) -> dict[str, Any]:
        """An event with this text, or with none."""
        choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": reason}
        reported = {"choices": [choice], **self.reported, "object": "text_completion"}
        return reported | ({"usage": None} if reason else {}) | self.key

    def opening(self) -> bytes:
        """Events that share the HTTP chunk of the first token."""
        return b""

    def token(self, number: int) -> bytes:
        return self.before + self.quoted[number % len(self.quoted)] + self.after

    def progress(self, mark: dict[str, int]) -> bytes:
        return event(self.frame("") | {"prompt_progress": mark})

    def last(self) -> list[bytes]:
        """What follows the text, by HTTP chunk."""
        silent = [] if self.ask.limited else [event(self.frame(""))]
        return [*silent, event(self.frame("", self.ask.reason) | self.ask.closing()), DONE]

    def whole(self) -> Any:
        """The reply when it is not streamed."""
        text = "".join(self.ask.cycle(self.ask.script.pieces))
        return self.frame(text, self.ask.reason) | self.ask.closing()


class Chat(Shape):
    """POST /v1/chat/completions"""

    def frame(self, text: str | None, reason: str | None = None) -> dict[str, Any]:
        delta: dict[str, Any] = {"content": text} if text else {}
        if text == "":
            delta = {"role": "assistant", "content": None}
        return self.chunk([{"finish_reason": reason, "index": 0, "delta": delta}])

    def chunk(self, choices: list[Any]) -> dict[str, Any]:
        created, rest = {"created": self.reported["created"]}, self.reported
        return {
            "choices": choices,
            **created,
            **self.key,
            **rest,
            "object": "chat.completion.chunk",
        }

    def opening(self) -> bytes:
        return event(self.frame(""))

    def last(self) -> list[bytes]:
        closing, finish = self.ask.closing(), self.frame(None, self.ask.reason)
        start = b"" if self.ask.count else self.opening()
        if (self.ask.body.get("stream_options") or {}).get("include_usage"):
            return [start + event(finish) + event(self.chunk([]) | closing), DONE]
        return [start + event(finish | {"timings": closing["timings"]}), DONE]

    def whole(self) -> Any:
        message = {"role": "assistant", "content": "".join(self.ask.cycle(self.ask.script.pieces))}
        choices = [{"finish_reason": self.ask.reason, "index": 0, "message": message}]
        reported = {"choices": choices, **self.reported, "object": "chat.completion"}
        return reported | {"usage": None, **self.key} | self.ask.closing()


class Raw(Shape):
    """POST /completion"""

    def frame(self, text: str | None, reason: str | None = None) -> dict[str, Any]:
        reported = {"index": 0, "content": text, "tokens": [0], "stop": False, "id_slot": -1}
        return reported | {"tokens_predicted": 0, "tokens_evaluated": self.ask.prompt_tokens}

    def token(self, number: int) -> bytes:
        at = number % len(self.quoted)
        return (
            b'data: {"index":0,"content":%b,"tokens":[%d],"stop":false,"id_slot":-1,'
            b'"tokens_predicted":%d,"tokens_evaluated":%d}\n\n'
        ) % (self.quoted[at], self.ask.script.ids[at], number + 1, self.ask.prompt_tokens)

    def closing(self, text: str, ids: list[int]) -> dict[str, Any]:
        ask, made = self.ask, self.ask.predicted
        settings = {"n_predict": ask.body.get("n_predict", -1), "stream": ask.stream}
        reported = {"index": 0, "content": text, "tokens": ids, "id_slot": 0, "stop": True}
        reported |= {"model": self.reported["model"], "tokens_predicted": made}
        reported |= {"tokens_evaluated": ask.prompt_tokens, "generation_settings": settings}
        reported |= {"prompt": ask.prompt, "has_new_line": "\n" in text, "truncated": False}
        reported |= {"stop_type": "limit" if ask.limited else "eos", "stopping_word": ""}
        reported |= {"tokens_cached": ask.prompt_tokens + made - 1}
        reported["timings"] = ask.closing()["timings"]
        wanted = ask.body.get("response_fields") or list(reported)
        return {name: reported[name] for name in wanted if name in reported}

    def last(self) -> list[bytes]:
        end = {"tokens": [END_OF_TEXT], "tokens_predicted": self.ask.predicted}
        silent = [] if self.ask.limited else [event(self.frame("") | end)]
        return [*silent, event(self.closing("", []))]

    def whole(self) -> Any:
        ids = self.ask.cycle(self.ask.script.ids) + [END_OF_TEXT] * (not self.ask.limited)
        wanted = bool(self.ask.body.get("return_tokens"))
        return self.closing("".join(self.ask.cycle(self.ask.script.pieces)), ids if wanted else [])


SHAPES = {"/v1/chat/completions": Chat, "/v1/completions": Shape, "/completion": Raw}
ANSWERS = {"/tokenize": tokenize, "/detokenize": detokenize, "/apply-template": apply_template}
ANSWERS |= {"/v1/embeddings": embeddings, "/v1/chat/completions/input_tokens": count}


def prompt_of(path: str, body: dict[str, Any]) -> list[str]:
    """Tokens of what a generation request asks."""
    if SHAPES[path] is Chat:
        return split(apply_template(body)["prompt"])
    if "prompt" not in body:
        raise Refused(400, "invalid_request_error", NO_PROMPT)
    return words(body["prompt"])


def require_room(count: int, room: int) -> None:
    if count >= room:
        text = f"request ({count} tokens) exceeds the available context size ({room} tokens)"
        more = {"n_prompt_tokens": count, "n_ctx": room}
        raise Refused(400, "exceed_context_size_error", f"{text}, try increasing it", **more)


def props(alias: str, model: str, slots: int, context: int) -> dict[str, Any]:
    """GET /props, the fields that a supervisor reads."""
    reported = {
        "default_generation_settings": {"params": {}, "n_ctx": context},
        "total_slots": slots,
    }
    reported |= {"model_alias": alias, "model_path": model, "chat_template": TEMPLATE}
    reported |= {"modalities": {"vision": False, "video": False, "audio": False}}
    reported |= {"chat_template_caps": {"supports_tools": False, "supports_system_role": True}}
    return reported | {"build_info": BUILD, "is_sleeping": False, "media_marker": MARKER}


def about(aliases: list[str], context: int) -> dict[str, Any]:
    """The model, as the state line and /v1/models tell it."""
    meta = {"n_vocab": 32000, "n_ctx": context, "n_ctx_train": TRAINED_CONTEXT, "n_embd": WIDTH}
    meta |= {"n_params": 1000000, "size": 2000000}
    return {"id": aliases[0], "aliases": aliases, "object": "model", "meta": meta}
