"""LLM over the Ollama dialect, by its plugin; a chain runs tools and asks again."""

import llm
from answers import Answer, tell

calls: list[tuple[str, dict[str, str]]] = []


def weather(city: str) -> str:
    """The weather of a city."""
    calls.append(("weather", {"city": city}))
    return "warm"


after = llm.get_model("ollama/agent").chain("hi", tools=[weather]).text()
(call,) = calls
tell(
    "ollama",
    llm.get_model("ollama/plain").prompt("hi", stream=False).text(),
    llm.get_model("ollama/plain").prompt("hi"),
    call,
    Answer.model_validate_json(llm.get_model("ollama/json").prompt("hi", schema=Answer).text()),
    after,
)
