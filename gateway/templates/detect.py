"""Which bundled TEMPLATE fits the chat template of a GGUF, if one does.

Ollama compares a chat template with the thirty-seven it knows and takes the nearest below a hundred
edits. Their texts belong to the models they came with and are not carried here. Those very inputs
are known by length and digest; what is near is measured against short forms written for this file,
one or two for a name whose templates are short enough for a hundred edits to mean something.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

CUTOFF = 100
"""Edits at which a text is no longer taken for another."""


@dataclass(frozen=True, slots=True)
class BundledTemplate:
    """A TEMPLATE that comes with the server, and the stop sequences that go with it."""

    name: str
    template: str
    stop: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TemplateForm:
    """A chat template in its plainest writing; every variant of it contains its `marks`."""

    name: str
    marks: tuple[str, ...]
    text: str


STOPS: Mapping[str, tuple[str, ...]] = {
    "alfred": ("<start_system>", "<end_message>", "<start_user>", "<start_assistant>"),
    "alpaca": ("### Instruction:", "### Response"),
    "chatml": ("<|im_start|>", "<|im_end|>"),
    "chatqa": ("System:", "User:", "Assistant:", "<|begin_of_text|>"),
    "codellama-70b-instruct": ("Source:", "Destination:", "<step>"),
    "command-r": ("<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>"),
    "falcon-instruct": ("User:", "Assistant:"),
    "gemma-instruct": ("<start_of_turn>", "<end_of_turn>"),
    "gemma3-instruct": ("<end_of_turn>",),
    "granite-instruct": ("System:", "Question:", "Answer:"),
    "llama2-chat": ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"),
    "llama3-instruct": ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "magicoder": ("@@ Instruction", "@@ Response"),
    # Ollama's own list, odd as it looks: clients see it in /api/show.
    "mistral-instruct": ("<|im_start|>", "<|im_end|>"),
    "openchat": ("<|end_of_turn|>",),
    "phi-3": ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>"),
    "solar-instruct": ("### System:", "### User:", "### Assistant"),
    "starcoder2-instruct": ("### Instruction", "### Response", "<|endoftext|>"),
    "vicuna": ("USER:", "ASSISTANT:"),
    "zephyr": ("<|system|>", "</s>", "<|user|>", "<|assistant|>"),
}

# Length in code points and the start of the SHA-256 of the UTF-8 text -> name.
KNOWN: Mapping[tuple[int, str], str] = {
    (441, "91aa728ae59c8e30"): "chatml",
    (291, "58c1a1f04baa7ada"): "chatml",
    (410, "66291cf0045c2425"): "zephyr",
    (358, "3ce2fe9753f9a77a"): "chatml",
    (222, "901b10d47195fadb"): "openchat",
    (209, "a805e50fed68938a"): "chatml",
    (196, "153280e3ff55d19d"): "chatml",
    (328, "793202280c0910ab"): "chatml",
    (327, "af9c0233881b083b"): "chatml",
    (306, "bf61473d7119388a"): "zephyr",
    (470, "26a59556925c9873"): "mistral-instruct",
    (574, "6de66c5b4eb23df8"): "starcoder2-instruct",
    (813, "ea2472f29dbd93c3"): "llama2-chat",
    (531, "75678d4630858651"): "codellama-70b-instruct",
    (477, "7e995b379ec01747"): "mistral-instruct",
    (450, "e6f6e5c192657d16"): "chatml",
    (306, "f42d04ffb2e487fa"): "chatml",
    (629, "f02c534193010c4b"): "chatml",
    (1842, "faf1f8b675beeabd"): "chatml",
    (1041, "993c0af704bad76a"): "alpaca",
    (459, "8aeba567270fa9a8"): "chatqa",
    (591, "ecd6ae513fe103f0"): "gemma-instruct",
    (1532, "7de1c58e208eda46"): "gemma3-instruct",
    (389, "ba03a121d097859c"): "llama3-instruct",
    (4614, "e10ca381b1ccc5cf"): "llama3-instruct",
    (376, "e84ee90c8a81a15d"): "granite-instruct",
    (571, "230527c8a608cf3a"): "magicoder",
    (533, "071cfb2d4c797ad4"): "alfred",
    (815, "e8d5b5a546d3f19d"): "llama2-chat",
    (254, "605841622bcb6572"): "phi-3",
    (269, "268b6082ceb7176d"): "phi-3",
    (218, "b0e53f5e7bae6fdb"): "phi-3",
    (690, "cd3636885332999f"): "chatqa",
    (356, "2c575663fbb6c03a"): "falcon-instruct",
    (340, "f6084d6ec1cb3238"): "falcon-instruct",
    (409, "b8e5e922a7a4ab5d"): "solar-instruct",
    (1204, "9db2cf47ce03bfd0"): "command-r",
}
_LENGTHS = frozenset(length for length, _ in KNOWN)
_PREFIX = 16  # hexadecimal digits of a digest; 64 bits tell 37 texts apart from any other

_EACH = "{% for message in messages %}"
_USER = "{% if message['role'] == 'user' %}"
_ANSWER = "{% elif message['role'] == 'assistant' %}"
_ALTERNATE = (
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate between user and assistant.') }}{% endif %}"
)
_NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
)


def _generation_prompt(opening: str) -> str:
    """The end of a template, which opens the reply."""
    return "{% endfor %}{% if add_generation_prompt %}{{ '" + opening + "' }}{% endif %}"


def _titled(system: str, user: str, assistant: str, end: str) -> str:
    """Turns by their titles, each ended by `end`."""
    content = "' + message['content'] + '" + end + "' }}"
    return (
        "{% if message['role'] == 'system' %}{{ '" + system + content + "{% elif message['role'] "
        "== 'user' %}{{ '" + user + content + _ANSWER + "{{ '" + assistant + content + "{% endif %}"
    )


_CHATML = (
    _EACH
    + "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    + _generation_prompt("<|im_start|>assistant\n")
)
_CHATML_MARKS = ("<|im_start|>", "<|im_end|>")

FORMS: tuple[TemplateForm, ...] = (
    TemplateForm("chatml", _CHATML_MARKS, _CHATML),
    TemplateForm(
        "chatml",
        _CHATML_MARKS,
        "{% if messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}" + _CHATML,
    ),
    TemplateForm(
        "chatml",
        _CHATML_MARKS,
        "{% if not add_generation_prompt is defined %}"
        "{% set add_generation_prompt = false %}{% endif %}" + _CHATML,
    ),
    TemplateForm(
        "zephyr",
        ("<|user|>", "<|assistant|>", "eos_token"),
        _EACH
        + "\n{% if message['role'] == 'user' %}"
        + "\n{{ '<|user|>\n' + message['content'] + eos_token }}"
        + "\n{% elif message['role'] == 'system' %}"
        + "\n{{ '<|system|>\n' + message['content'] + eos_token }}"
        + "\n{% elif message['role'] == 'assistant' %}"
        + "\n{{ '<|assistant|>\n' + message['content'] + eos_token }}"
        + "\n{% endif %}"
        + "\n{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}"
        + "\n{% endfor %}",
    ),
    TemplateForm(
        "openchat",
        ("GPT4 Correct", "<|end_of_turn|>"),
        "{{ bos_token }}"
        + _EACH
        + "{{ 'GPT4 Correct ' + message['role'].title() + ': ' + message['content'] "
        + "+ '<|end_of_turn|>' }}"
        + _generation_prompt("GPT4 Correct Assistant:"),
    ),
    TemplateForm(
        "phi-3",
        ("<|end|>", "<|assistant|>"),
        "{{ bos_token }}"
        + _EACH
        + "{{ '<|' + message['role'] + '|>' + '\n' + message['content'] + '<|end|>\n' }}"
        + _generation_prompt("<|assistant|>\n").removesuffix("{% endif %}")
        + "{% else %}{{ eos_token }}{% endif %}",
    ),
    TemplateForm(
        "phi-3",
        ("<|end|>", "<|user|>", "<|assistant|>"),
        "{{ bos_token }}"
        + _EACH
        + _USER
        + "{{ '<|user|>' + '\n' + message['content'] + '<|end|>' + '\n' "
        + "+ '<|assistant|>' + '\n' }}"
        + _ANSWER
        + "{{ message['content'] + '<|end|>' + '\n' }}{% endif %}{% endfor %}",
    ),
    TemplateForm(
        "llama3-instruct",
        ("<|start_header_id|>", "<|eot_id|>"),
        _EACH
        + "{% set text = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' "
        + "+ message['content'] | trim + '<|eot_id|>' %}"
        + "{% if loop.index0 == 0 %}{% set text = bos_token + text %}{% endif %}{{ text }}"
        + _generation_prompt("<|start_header_id|>assistant<|end_header_id|>\n\n"),
    ),
    TemplateForm(
        "mistral-instruct",
        ("[INST]", "[/INST]"),
        "{{ bos_token }}"
        + _EACH
        + _ALTERNATE
        + _USER
        + "{{ '[INST] ' + message['content'] + ' [/INST]' }}"
        + _ANSWER
        + "{{ message['content'] + eos_token }}{% endif %}{% endfor %}",
    ),
    TemplateForm(
        "gemma-instruct",
        ("<start_of_turn>", "<end_of_turn>", "System role"),
        "{{ bos_token }}"
        + _NO_SYSTEM
        + _EACH
        + _ALTERNATE
        + "{% if message['role'] == 'assistant' %}{% set role = 'model' %}"
        + "{% else %}{% set role = message['role'] %}{% endif %}"
        + "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}"
        + _generation_prompt("<start_of_turn>model\n"),
    ),
    TemplateForm(
        "solar-instruct",
        ("### User:", "### Assistant:"),
        _EACH
        + _titled("### System:\n", "### User:\n", "### Assistant:\n", "\n\n")
        + _generation_prompt("### Assistant:\n"),
    ),
    TemplateForm(
        "falcon-instruct",
        ("User:", "Assistant:"),
        _EACH
        + "{% if not loop.first %}{{ '\n' }}{% endif %}"
        + _titled("", "\nUser: ", "\nAssistant: ", "")
        + _generation_prompt("\nAssistant:"),
    ),
    TemplateForm(
        "granite-instruct",
        ("Question:", "Answer:"),
        _EACH
        + _titled("System:\n", "Question:\n", "Answer:\n", "\n\n")
        + _generation_prompt("Answer:\n"),
    ),
)
# Lengths alone rule out most templates, before any is compared.
_SHORTEST = min(len(form.text) for form in FORMS) - CUTOFF
_LONGEST = max(len(form.text) for form in FORMS) + CUTOFF


def detect(chat_template: str) -> BundledTemplate | None:
    """The bundled TEMPLATE for a model whose GGUF has this chat template, or None."""
    name = known(chat_template) or nearest(chat_template)
    return bundled(name) if name else None


@cache
def bundled(name: str) -> BundledTemplate:
    """The TEMPLATE of this name; KeyError if none comes with the server."""
    stop = STOPS[name]
    # Bytes, for a checkout may have turned its newlines.
    data = (files("gateway.templates") / "bundled" / f"{name}.gotmpl").read_bytes()
    return BundledTemplate(name, data.decode().replace("\r\n", "\n"), stop)


def known(chat_template: str) -> str | None:
    """The name for one of the inputs that Ollama knows, byte for byte."""
    if len(chat_template) not in _LENGTHS:
        return None
    digest = hashlib.sha256(chat_template.encode(errors="replace")).hexdigest()
    return KNOWN.get((len(chat_template), digest[:_PREFIX]))


def nearest(chat_template: str) -> str | None:
    """The name of the nearest form below CUTOFF edits, the first of equally near ones."""
    if not _SHORTEST < len(chat_template) < _LONGEST:
        return None
    name, least = None, CUTOFF
    for form in FORMS:
        # Two short templates with different marks can be near each other, and the wrong one would
        # format every prompt wrongly.
        if all(mark in chat_template for mark in form.marks):
            edits = distance(form.text, chat_template, least)
            if edits < least:
                name, least = form.name, edits
    return name


def distance(one: str, other: str, cutoff: int) -> int:
    """Levenshtein distance in code points; `cutoff`, early, when it is that or more.

    A column of the table is two integers with a bit for each row, where it goes up and where it
    goes down, so a step costs a few operations on integers (Myers 1999, Hyyrö 2003).
    """
    # By hand: difflib knows no edit distance, and rapidfuzz would be 12 MB and 11 ms of imports to
    # save half a millisecond a model that is created. Texts too long to be near do not get here.
    if not one:
        return min(len(other), cutoff)
    if least_possible(one, other) >= cutoff:
        return cutoff
    rows: dict[str, int] = {}
    for row, letter in enumerate(one):
        rows[letter] = rows.get(letter, 0) | 1 << row
    mask, last = (1 << len(one)) - 1, len(one) - 1
    up, down, edits = mask, 0, len(one)
    for left, letter in zip(range(len(other) - 1, -1, -1), other, strict=True):
        equal = rows.get(letter, 0)
        level = (((equal & up) + up) ^ up) | equal | down
        rising = (down | ~(level | up)) & mask
        falling = up & level
        edits += (rising >> last & 1) - (falling >> last & 1)
        if edits - left >= cutoff:
            return cutoff
        rising = (rising << 1 | 1) & mask
        falling = falling << 1 & mask
        up = (falling | ~(level | rising)) & mask
        down = rising & level
    return min(edits, cutoff)


def least_possible(one: str, other: str) -> int:
    """No fewer edits than this: letters that one has too many of, and those the other has."""
    of_one, of_other = Counter(one), Counter(other)
    return max((of_one - of_other).total(), (of_other - of_one).total())
