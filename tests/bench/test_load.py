"""Bursts in figures, and bodies in both dialects."""

import json

from bench.load import MESSAGES, OLLAMA, OPENAI, RESPONSES, Burst, Questions, Reply, chat


def test_rates_of_a_burst() -> None:
    replies = (Reply(1.0, 1.5, 3.0, 30), Reply(2.0, 2.25, 5.0, 10))
    burst = Burst(replies, ())
    assert (burst.seconds, burst.tokens, burst.requests_per_s) == (4.0, 40, 0.5)
    assert burst.tokens_per_s == 10.0
    assert burst.first_ms == [500.0, 250.0]


def test_messages_and_responses_ask_for_it_too() -> None:
    messages = json.loads(chat(MESSAGES, "m", "hi", 9))
    assert messages["messages"] == [{"role": "user", "content": "hi"}]
    assert (messages["max_tokens"], messages["stream"]) == (9, True)
    responses = json.loads(chat(RESPONSES, "m", "hi", 9))
    assert (responses["input"], responses["max_output_tokens"]) == ("hi", 9)
    assert "messages" not in responses


def test_both_dialects_ask_for_the_same() -> None:
    openai = json.loads(chat(OPENAI, "m", "hi", 9))
    ollama = json.loads(chat(OLLAMA, "m", "hi", 9))
    assert openai["messages"] == ollama["messages"] == [{"role": "user", "content": "hi"}]
    assert (openai["max_tokens"], openai["temperature"], openai["stream"]) == (9, 0, True)
    assert ollama["options"] == {"temperature": 0, "num_predict": 9}


def test_no_question_is_asked_twice() -> None:
    questions = Questions()
    bodies = questions.bodies(OPENAI, "m", 3, 1) + questions.bodies(OLLAMA, "m", 2, 1)
    requested = [json.loads(body)["messages"][0]["content"] for body in bodies]
    assert requested == [f"question {number}" for number in range(5)]
