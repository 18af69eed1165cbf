"""Instructor over the OpenAI dialect: by a schema, and by a tool that is a class."""

import instructor
from answers import HI, URL, Answer, tell
from openai import OpenAI
from pydantic import BaseModel


class weather(BaseModel):
    """The weather of a city."""

    city: str


openai = OpenAI(base_url=f"{URL}/v1", api_key="any", max_retries=0)
schemas = instructor.from_openai(openai, mode=instructor.Mode.JSON_SCHEMA)
tools = instructor.from_openai(openai, mode=instructor.Mode.TOOLS)
requested = {"model": "json", "messages": HI, "response_model": Answer, "max_retries": 0}
call, reply = tools.chat.completions.create_with_completion(
    model="tools", messages=HI, response_model=weather, max_retries=0
)
plain = {"model": "plain", "messages": HI, "response_model": None}
*_, last = schemas.chat.completions.create_partial(**requested)
assert last.answer == 42
tell(
    "openai",
    tools.chat.completions.create(**plain).choices[0].message.content,
    [
        chunk.choices[0].delta.content
        for chunk in tools.chat.completions.create(**plain, stream=True)
    ],
    (reply.choices[0].message.tool_calls[0].function.name, call.model_dump()),
    schemas.chat.completions.create(**requested),
)
