"""Lines typed at the prompt, put together to messages."""

from gateway.cli.prompt import message_reader


def test_a_line_is_a_message_and_so_is_a_block() -> None:
    lines = iter(["hello", '"""one', "/bye", 'two"""'])
    prompts = []

    def ask(prompt: str) -> str:
        prompts.append(prompt)
        return next(lines)

    read = message_reader(ask)
    assert read() == "hello"
    assert read() == '"""one\n/bye\ntwo"""'
    assert prompts == [">>> ", ">>> ", "... ", "... "]
