"""Every bundled TEMPLATE writes the prompts that its family of models was taught."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pytest

from gateway.templates.detect import STOPS, bundled
from gateway.templates.media import Rendered
from gateway.templates.messages import ThinkFlags
from gateway.templates.render import Template, compiled

TODAY = date(2026, 11, 22)
SYSTEM = {"role": "system", "content": "Be brief."}
HI = {"role": "user", "content": "Hi"}
TALK = (SYSTEM, HI, {"role": "assistant", "content": "Yo"}, {"role": "user", "content": "Bye"})
PIXEL = "iVBORw0KGgo="

# Name -> the prompt for one message, and the one for TALK.
PROMPTS: Mapping[str, tuple[str, str]] = {
    "alfred": (
        "<start_user>Hi<end_message><start_assistant>",
        "<start_system>Be brief.<end_message><start_user>Hi<end_message>"
        "<start_assistant>Yo<end_message><start_user>Bye<end_message><start_assistant>",
    ),
    "alpaca": (
        "### Instruction:\nHi\n\n### Response:\n",
        "Be brief.\n\n### Instruction:\nHi\n\n### Response:\nYo\n\n"
        "### Instruction:\nBye\n\n### Response:\n",
    ),
    "chatml": (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nYo<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"
        "<|im_start|>assistant\n",
    ),
    "chatqa": (
        "User: Hi\n\nAssistant:",
        "System: Be brief.\n\nUser: Hi\n\nAssistant: Yo\n\nUser: Bye\n\nAssistant:",
    ),
    "codellama-70b-instruct": (
        "Source: user\n\n Hi <step> Source: assistant\nDestination: user\n\n ",
        "Source: system\n\n Be brief. <step> Source: user\n\n Hi <step> "
        "Source: assistant\nDestination: user\n\n Yo <step> Source: user\n\n Bye <step> "
        "Source: assistant\nDestination: user\n\n ",
    ),
    "command-r": (
        "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>Hi<|END_OF_TURN_TOKEN|>"
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
        "<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>Be brief.<|END_OF_TURN_TOKEN|>"
        "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>Hi<|END_OF_TURN_TOKEN|>"
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>Yo<|END_OF_TURN_TOKEN|>"
        "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>Bye<|END_OF_TURN_TOKEN|>"
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
    ),
    "falcon-instruct": (
        "User: Hi\n\nAssistant:",
        "Be brief.\n\nUser: Hi\n\nAssistant: Yo\n\nUser: Bye\n\nAssistant:",
    ),
    "gemma-instruct": (
        "<start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n",
        "<start_of_turn>user\nBe brief. Hi<end_of_turn>\n<start_of_turn>model\nYo<end_of_turn>\n"
        "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n",
    ),
    "gemma3-instruct": (
        "<start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n",
        "<start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\nYo<end_of_turn>"
        "\n<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n",
    ),
    "granite-instruct": (
        "Question:\nHi\n\nAnswer:\n",
        "System:\nBe brief.\n\nQuestion:\nHi\n\nAnswer:\nYo\n\nQuestion:\nBye\n\nAnswer:\n",
    ),
    "llama2-chat": (
        "[INST] Hi [/INST]",
        "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Yo</s><s>[INST] Bye [/INST]",
    ),
    "llama3-instruct": (
        "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nYo<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    "magicoder": (
        "@@ Instruction\nHi\n\n@@ Response\n",
        "Be brief.\n\n@@ Instruction\nHi\n\n@@ Response\nYo\n\n"
        "@@ Instruction\nBye\n\n@@ Response\n",
    ),
    "mistral-instruct": (
        "[INST] Hi [/INST]",
        "[INST] Be brief.\n\nHi [/INST] Yo</s>[INST] Bye [/INST]",
    ),
    "openchat": (
        "GPT4 Correct User: Hi<|end_of_turn|>GPT4 Correct Assistant:",
        "GPT4 Correct System: Be brief.<|end_of_turn|>GPT4 Correct User: Hi<|end_of_turn|>"
        "GPT4 Correct Assistant: Yo<|end_of_turn|>GPT4 Correct User: Bye<|end_of_turn|>"
        "GPT4 Correct Assistant:",
    ),
    "phi-3": (
        "<|user|>\nHi<|end|>\n<|assistant|>\n",
        "<|system|>\nBe brief.<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\nYo<|end|>\n"
        "<|user|>\nBye<|end|>\n<|assistant|>\n",
    ),
    "solar-instruct": (
        "### User:\nHi\n\n### Assistant:\n",
        "### System:\nBe brief.\n\n### User:\nHi\n\n### Assistant:\nYo</s>\n\n"
        "### User:\nBye\n\n### Assistant:\n",
    ),
    "starcoder2-instruct": (
        "### Instruction\nHi\n\n### Response\n",
        "Be brief.\n\n### Instruction\nHi\n\n### Response\nYo<|endoftext|>\n\n"
        "### Instruction\nBye\n\n### Response\n",
    ),
    "vicuna": (
        "USER: Hi\nASSISTANT:",
        "Be brief.\n\nUSER: Hi\nASSISTANT: Yo</s>\nUSER: Bye\nASSISTANT:",
    ),
    "zephyr": (
        "<|user|>\nHi</s>\n<|assistant|>\n",
        "<|system|>\nBe brief.</s>\n<|user|>\nHi</s>\n<|assistant|>\nYo</s>\n"
        "<|user|>\nBye</s>\n<|assistant|>\n",
    ),
}
NAMES = sorted(STOPS)

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALL = {
    "id": "c",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city":"Paris"}'},
}


def template(name: str) -> Template:
    return compiled(bundled(name).template)


def rendered(name: str, messages: Sequence[Mapping[str, Any]], *tools: Any) -> Rendered:
    think = ThinkFlags(on=False, given=False)
    return template(name).conversation(messages, tools, think, today=TODAY)


def test_the_table_has_every_name() -> None:
    assert sorted(PROMPTS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_one_message(name: str) -> None:
    assert rendered(name, [HI]) == Rendered(PROMPTS[name][0], ())


@pytest.mark.parametrize("name", NAMES)
def test_a_conversation_with_a_system_message(name: str) -> None:
    assert rendered(name, TALK) == Rendered(PROMPTS[name][1], ())


@pytest.mark.parametrize("name", NAMES)
def test_an_image_is_where_its_message_is(name: str) -> None:
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    message = {"role": "user", "content": [{"type": "text", "text": "Hi"}, picture]}
    prompt = rendered(name, [message])
    assert prompt.text == PROMPTS[name][0].replace("Hi", "[img-0]Hi")
    assert prompt.media == (PIXEL,)


@pytest.mark.parametrize("name", NAMES)
def test_only_command_r_knows_tools(name: str) -> None:
    assert template(name).abilities == (("tools",) if name == "command-r" else ())
    if name != "command-r":
        assert rendered(name, [HI], TOOL).text == PROMPTS[name][0]


@pytest.mark.parametrize("name", NAMES)
def test_no_bundled_template_shows_thinking(name: str) -> None:
    assert template(name).tags is None


@pytest.mark.parametrize("name", NAMES)
def test_a_prompt_has_no_stop_that_is_not_in_its_template(name: str) -> None:
    """A stop that a prompt never shows would end no reply; the odd ones are Ollama's own."""
    odd = {"mistral-instruct": 2, "chatqa": 1}
    unseen = [stop for stop in bundled(name).stop if stop not in PROMPTS[name][1]]
    assert len(unseen) == odd.get(name, 0)


def test_command_r_shows_tools_calls_and_results() -> None:
    messages: list[Mapping[str, Any]] = [
        SYSTEM,
        HI,
        {"role": "assistant", "content": "", "tool_calls": [CALL, CALL]},
        {"role": "tool", "content": "18 degrees"},
    ]
    text = rendered("command-r", messages, TOOL).text
    start, end = "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>"
    assert text == (
        f"{start}<|SYSTEM_TOKEN|>Be brief.\n\n## Available Tools\n"
        "The functions you may call, as JSON:\n"
        '{"type":"function","function":{"name":"weather","description":"of a city",'
        '"parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}\n\n'
        'To call some of them, write "Action:" and a JSON list in a code block, each item with '
        'the keys\n"tool_name" and "parameters". If none of them helps, answer the user '
        f"directly.{end}"
        f"{start}<|USER_TOKEN|>Hi{end}"
        f"{start}<|CHATBOT_TOKEN|>Action: ```json\n[\n"
        '    {"tool_name": "weather", "parameters": {"city":"Paris"}},\n'
        '    {"tool_name": "weather", "parameters": {"city":"Paris"}}\n'
        f"]```{end}"
        f"{start}<|SYSTEM_TOKEN|><results>\n18 degrees\n</results>{end}"
        f"{start}<|CHATBOT_TOKEN|>"
    )
    assert template("command-r").tool_tag == "Action: ```json\n["
