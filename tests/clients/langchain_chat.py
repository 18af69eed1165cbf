"""LangChain, by its packages for the three dialects."""

from functools import partial
from typing import Any

from answers import URL, WEATHER, Answer, tell
from langchain_anthropic import ChatAnthropic
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI

MODELS: dict[str, Any] = {
    "openai": partial(ChatOpenAI, base_url=f"{URL}/v1", api_key="any", max_retries=0),
    "ollama": partial(ChatOllama, base_url=URL, validate_model_on_init=True),
    "anthropic": partial(ChatAnthropic, base_url=URL, api_key="any", max_retries=0, max_tokens=50),
}

for dialect, chat in MODELS.items():
    (call,) = chat(model="tools").bind_tools([WEATHER]).invoke("hi").tool_calls
    tell(
        dialect,
        chat(model="plain").invoke("hi").text,
        [chunk.text for chunk in chat(model="plain").stream("hi")],
        (call["name"], call["args"]),
        chat(model="json").with_structured_output(Answer, method="json_schema").invoke("hi"),
    )
