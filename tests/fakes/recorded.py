"""Replies of a real llama-server (revision 0c1e570) to what the gateway asks of it.

The chunks are the engine's own, recorded with scripted models, down to the order of members; some
replies are put together from several recordings, and all have one id and one time.
"""

from collections.abc import Iterator

import pytest
from hypothesis import strategies as st

from gateway.inference.types import Encoder
from gateway.llama.errors import EngineError

ALIAS = "paddock-runner-5f1ab2c84e7d4d0e9b3c6a70d8e4f219"
IDENT = "chatcmpl-IgwPPY3Br9F8XE5jXjUThluLrSxe1R8E"
CREATED = 1795299852
DONE = b"data: [DONE]\n\n"


def event(text: str) -> bytes:
    return f"data: {text}\n\n".encode()


def chat(delta: str, reason: str = "null", *, more: str = "") -> bytes:
    """A chunk of a chat; `more` is what follows its last member."""
    choice = f'{{"finish_reason":{reason},"index":0,"delta":{delta}}}'
    return chunk(choice, more)


def chunk(choices: str, more: str = "") -> bytes:
    return event(
        f'{{"choices":[{choices}],"created":{CREATED},"id":"{IDENT}","model":"{ALIAS}",'
        f'"system_fingerprint":"b1-0c1e570","object":"chat.completion.chunk"{more}}}'
    )


def raw(content: str, token: int, made: int, more: str = "") -> bytes:
    """A chunk of /completion."""
    return event(
        f'{{"index":0,"content":"{content}","tokens":[{token}],"stop":false,"id_slot":-1,'
        f'"tokens_predicted":{made},"tokens_evaluated":4{more}}}'
    )


def raw_end(kind: str, timings: str, word: str = "") -> bytes:
    """Its last chunk; `word` is the stop text that ended it."""
    return event(
        f'{{"content":"","stop":true,"stop_type":"{kind}","stopping_word":"{word}",{timings},'
        f'"truncated":false}}'
    )


def progress(processed: int) -> bytes:
    mark = f'{{"total":20,"cache":0,"processed":{processed},"time_ms":2}}'
    return chat(ROLE, more=f',"prompt_progress":{mark}')


ROLE = '{"role":"assistant","content":null}'
PROGRESS = progress(0) + progress(20)
START = chat(ROLE)

PLAIN_TIMINGS = (
    '"timings":{"cache_n":0,"prompt_n":20,"prompt_ms":2.155,"prompt_per_token_ms":'
    '0.10774999999999998,"prompt_per_second":9280.742459396753,"predicted_n":5,"predicted_ms":0.685,'
    '"predicted_per_token_ms":0.17125,"predicted_per_second":5839.41605839416}'
)
SAID = (
    chat('{"content":"Hi "}'),
    chat('{"content":"you\u2028"}'),
    chat('{"content":"<b>&"}'),
    chat('{"content":"é."}'),
)
PLAIN = PROGRESS + START + b"".join(SAID) + chat("{}", '"stop"', more=f",{PLAIN_TIMINGS}") + DONE

USAGE_TIMINGS = (
    '"timings":{"cache_n":19,"prompt_n":1,"prompt_ms":0.418,"prompt_per_token_ms":0.418,'
    '"prompt_per_second":2392.3444976076557,"predicted_n":5,"predicted_ms":0.642,'
    '"predicted_per_token_ms":0.1605,"predicted_per_second":6230.529595015576}'
)
USAGE = (
    '"usage":{"completion_tokens":5,"prompt_tokens":20,"total_tokens":25,"prompt_tokens_details":'
    '{"cached_tokens":19}}'
)
WITH_USAGE = (
    PROGRESS
    + START
    + b"".join(SAID)
    + chat("{}", '"stop"')
    + chunk("", f",{USAGE},{USAGE_TIMINGS}")
    + DONE
)

THOUGHT_TIMINGS = (
    '"timings":{"cache_n":0,"prompt_n":22,"prompt_ms":1.315,"prompt_per_token_ms":'
    '0.05977272727272727,"prompt_per_second":16730.03802281369,"predicted_n":7,"predicted_ms":1.082,'
    '"predicted_per_token_ms":0.18033333333333335,"predicted_per_second":5545.286506469501}'
)
THOUGHT = (
    PROGRESS
    + START
    + chat('{"reasoning_content":"hm "}')
    + chat('{"reasoning_content":"o.k."}')
    + chat('{"reasoning_content":"\\n"}')
    + chat('{"content":"Done"}')
    + chat('{"content":" now."}')
    + chat("{}", '"stop"', more=f",{THOUGHT_TIMINGS}")
    + DONE
)

CALL_TIMINGS = (
    '"timings":{"cache_n":0,"prompt_n":648,"prompt_ms":38.881,"prompt_per_token_ms":'
    '0.060001543209876544,"prompt_per_second":16666.23800828168,"predicted_n":14,"predicted_ms":'
    '9.997,"predicted_per_token_ms":0.769,"predicted_per_second":1300.3901170351105}'
)


def call_start(number: int, ident: str, name: str) -> bytes:
    function = f'{{"name":"{name}","arguments":"{{"}}'
    start = f'{{"index":{number},"id":"{ident}","type":"function","function":{function}}}'
    return chat(f'{{"tool_calls":[{start}]}}')


def call_piece(number: int, arguments: str) -> bytes:
    piece = f'{{"index":{number},"function":{{"arguments":"{arguments}"}}}}'
    return chat(f'{{"tool_calls":[{piece}]}}')


ONE_ID, TWO_ID = "xHTLQuKKJ5f6RQiI5LtuAv4IrDumgizl", "B8I7OGnc4ZtJYmSODFHu1uB9mSggfEib"
CALLED = (
    PROGRESS
    + START
    + chat('{"reasoning_content":"hm "}')
    + chat('{"content":"Let me. "}')
    + call_start(0, ONE_ID, "add")
    + call_piece(0, '\\"a\\": 1')
    + call_piece(0, ', \\"b\\": \\"<\\"}')
    + call_start(1, TWO_ID, "sub")
    + call_piece(1, "}")
    + chat("{}", '"tool_calls"', more=f",{CALL_TIMINGS}")
    + DONE
)
# A limit of tokens fell into the arguments.
CALL_CUT = (
    PROGRESS
    + START
    + call_start(0, ONE_ID, "add")
    + chat("{}", '"length"', more=f",{CALL_TIMINGS}")
    + DONE
)

STOPPED_TIMINGS = (
    '"timings":{"cache_n":19,"prompt_n":1,"prompt_ms":0.268,"prompt_per_token_ms":0.268,'
    '"prompt_per_second":3731.3432835820895,"predicted_n":1,"predicted_ms":0.001,'
    '"predicted_per_token_ms":0.0,"predicted_per_second":0.0}'
)
# The first token was a stop text: nothing is said at all.
STOPPED = (
    PROGRESS
    + chat(ROLE, more=f",{STOPPED_TIMINGS}")
    + chat("{}", '"stop"', more=f",{STOPPED_TIMINGS}")
    + DONE
)


def scored(content: str, token: str, other: str = "") -> bytes:
    return chunk(
        f'{{"finish_reason":null,"index":0,"delta":{{"content":"{content}"}},'
        f'"logprobs":{{"content":[{{{token},"top_logprobs":[{{{token}}}{other}]}}]}}}}'
    )


HI = '"id":355,"token":"Hi ","bytes":[72,105,32],"logprob":0.0'
YOU = '"id":356,"token":"you\u2028","bytes":[121,111,117,226,128,168],"logprob":0.0'
NOTHING = ',{"id":0,"token":"","bytes":[],"logprob":-3.4028234663852886e+38}'
SCORED = (
    PROGRESS
    + START
    + scored("Hi ", HI, NOTHING)
    + scored("you\u2028", YOU, NOTHING)
    + chat("{}", '"length"', more=f",{STOPPED_TIMINGS}")
    + DONE
)

FAILURE = '{"error":{"code":500,"message":"Compute error.","type":"server_error"}}'
FAILED = PROGRESS + START + SAID[0] + event(FAILURE)
# The engine was killed after a token and a half.
KILLED = PROGRESS + START + SAID[0] + SAID[1][:40]

RAW_PROGRESS = raw("", 0, 0, ',"prompt_progress":{"total":4,"cache":1,"processed":1,"time_ms":0}')
RAW_TIMINGS = (
    '"timings":{"cache_n":1,"prompt_n":3,"prompt_ms":0.592,"prompt_per_token_ms":'
    '0.19733333333333333,"prompt_per_second":5067.5675675675675,"predicted_n":5,"predicted_ms":'
    '0.585,"predicted_per_token_ms":0.14625,"predicted_per_second":6837.606837606838}'
)
RAW_SAID = (
    raw("Hi ", 355, 1),
    raw("you\u2028", 356, 2),
    raw("<b>&", 357, 3),
    raw("é.", 358, 4),
)
RAW = RAW_PROGRESS + b"".join(RAW_SAID) + raw("", 2, 5) + raw_end("eos", RAW_TIMINGS)
RAW_LIMITED = RAW_PROGRESS + RAW_SAID[0] + RAW_SAID[1] + raw_end("limit", RAW_TIMINGS)
# The third token is a stop text: it has a number, but no text.
RAW_STOPPED = (
    RAW_PROGRESS
    + RAW_SAID[0]
    + RAW_SAID[1]
    + raw("", 357, 3, f",{RAW_TIMINGS}")
    + raw_end("word", RAW_TIMINGS, "<b>&")
)
RAW_SCORED = (
    RAW_PROGRESS
    + raw(
        "Hi ", 355, 1, f',"completion_probabilities":[{{{HI},"top_logprobs":[{{{HI}}}{NOTHING}]}}]'
    )
    + raw_end("limit", STOPPED_TIMINGS)
)
RAW_FAILED = RAW_PROGRESS + RAW_SAID[0] + event(FAILURE)

CHATS = (PLAIN, WITH_USAGE, THOUGHT, CALLED, STOPPED, SCORED)
RAWS = (RAW, RAW_LIMITED, RAW_STOPPED, RAW_SCORED)

# Lengths to cut a recording into; what is left over is the last piece.
CUTS = st.lists(st.integers(min_value=1, max_value=400), max_size=40)


def pieces(data: bytes, lengths: list[int]) -> Iterator[bytes]:
    """`data` in pieces of these lengths, and the rest."""
    for length in lengths:
        yield data[:length]
        data = data[length:]
    yield data


def heard(reply: Encoder, data: bytes, lengths: list[int]) -> str:
    """All that `reply` makes of `data` in these pieces."""
    out = b"".join(reply.feed(piece) for piece in pieces(data, lengths))
    return (out + reply.flush()).decode()


def failing(reply: Encoder, data: bytes, lengths: list[int]) -> tuple[str, EngineError]:
    """What `reply` makes of `data` until it raises the engine's error, and that."""
    out = b""
    with pytest.raises(EngineError) as caught:
        for piece in pieces(data, lengths):
            out += reply.feed(piece)
        reply.flush()
    return out.decode(), caught.value
