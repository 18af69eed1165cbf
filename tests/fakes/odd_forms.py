"""Forms with a recording in them, right and wrong: what `odd` is for JSON."""

import io
import wave
from collections.abc import Iterator, Sequence

from gateway.api.transcription.requests import FIELDS

Part = tuple[str, bytes]
"""The head of a part, without the blank line, and what follows it."""
Sent = tuple[bytes, str]
"""A body and its content type."""

TYPE = "multipart/form-data; boundary=b"
MODEL = "h"
"""The name of a model that hears."""


def _wav() -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(64))
    return out.getvalue()


WAV = _wav()
MP3 = (b"ID3\4\0\0\0\0\0\0\xff\xfb\x90\0" + bytes(60), b"\xff\xfb\x90\0" + bytes(60))

ODD_TEXTS: Sequence[bytes] = (
    *(b"", b" ", b"x", b"0", b"-1", b"1.5", b"1e400", b"nan", b"inf", b"9" * 30, b"9" * 5000),
    *(b"true", b"FALSE", b"null", b"[]", b"{}", b'"x"', b'{"type":"server_vad"}', b"auto"),
    *(b"json", b"text", b"srt", b"vtt", b"verbose_json", b"diarized_json", b"TEXT", b"word"),
    *(b"\0", b"\xff\xfe", "é\u2028\U0001f999".encode(), b"\xed\xa0\x80", b"a\r\nb: c", b"--a"),
    *(b"../../etc/passwd", b"{{ .Prompt }}", b"<|im_end|>", b"<__media__>", b"%s", b"x" * 50_000),
)
ODD_HEADS: Sequence[str] = (
    *("", "A: b", ":", "Content-Disposition:", "Content-Disposition: form-data", "\0"),
    *(
        f"Content-Disposition: {said}"
        for said in (
            *("attachment; name=model", "form-data; name", "form-data; name=", "form-data, name=x"),
            *('form-data; name="model', "form-data; name*=utf-8''model", "form-data; name*0=mod"),
            *("form-data; name=model; filename*=undefined''x", "form-data; name=\0", "; name=x"),
            *("form-data; name=model; filename*=idna''%ff", f"form-data; name*{'9' * 5000}=model"),
            *(f"form-data; name={'x' * 20_000}", "form-data; name=model; filename"),
            *(f"form-data; name=model{';' * 1_000_000}", f'form-data; x="{";" * 1_000_000}'),
            *(f'form-data; x="{";" * 1_000_000}"; name=model', f"form-data; {'x=y;' * 300_000}"),
        )
    ),
    *("Content-Disposition: form-data; name=model\r\n" + more for more in (" ", "\t;", "x" * 99)),
    "A: b\r\n" * 100_000,
)
ODD_TYPES: Sequence[str] = (
    *("", "multipart/form-data", "multipart/mixed; boundary=b", "application/json", "text/plain"),
    *("multipart/form-data; boundary=", 'multipart/form-data; boundary="', ";;;", "=; =; boundary"),
    *("multipart/form-data; boundary*=undefined''b", "multipart/form-data; boundary=\xe9"),
    *(f"multipart/form-data; boundary*{'9' * 5000}=b", "multipart/form-data; boundary=c"),
    *("application/x-www-form-urlencoded", f"multipart/form-data; boundary={'b' * 9000}"),
    *(f"multipart/form-data{';' * 60_000}", f'multipart/form-data; x="{";" * 60_000}'),
)


def text(name: str, said: bytes) -> Part:
    return f'Content-Disposition: form-data; name="{name}"', said


def file(data: bytes = WAV, name: str = "file") -> Part:
    head = f'Content-Disposition: form-data; name="{name}"; filename="a.wav"'
    return f"{head}\r\nContent-Type: audio/wav", data


LEAST = (text("model", MODEL.encode()), file())


def body(parts: Sequence[Part]) -> bytes:
    written = (f"--b\r\n{head}\r\n\r\n".encode() + data + b"\r\n" for head, data in parts)
    return b"".join(written) + b"--b--\r\n"


def odd_fields() -> Iterator[tuple[str, bytes]]:
    """A form for every field and every odd text in it, with the field's name."""
    for name in FIELDS:
        others = [part for part in LEAST if f'"{name}"' not in part[0]]
        for said in ODD_TEXTS:
            yield name, body([*others, text(name, said)])
        for spelled in (f"{name}[]", f"{name}[0]", f"{name}[x]", name.upper()):
            yield name, body([*others, text(spelled, b"x"), text(spelled, b"y")])
        yield name, body([*others, file(b"x", name)])


def broken() -> Iterator[Sent]:
    """Forms that are wrong where no field is."""
    whole = body(LEAST)
    yield from ((whole[:end], TYPE) for end in range(len(whole) - 4))
    yield from ((whole, kind) for kind in ODD_TYPES)
    yield body([LEAST[0]]), TYPE
    yield body([LEAST[1]]), TYPE
    yield body([]), TYPE
    yield body([LEAST[0], file(b"")]), TYPE
    yield body([text("x", b"")] * 1000), TYPE
    yield b"--b\r\n" * 100_000, TYPE


def odd() -> Iterator[Sent]:
    """Forms that are strange, and all the same right."""
    yield body([*LEAST, *LEAST]), TYPE
    yield body([*LEAST, text("", b"x"), text("\0", b"x"), file(bytes(9), "more")]), TYPE
    yield body([LEAST[0], file(bytes(3_000_000))]), TYPE
    yield body([LEAST[0], file(WAV + b"\r\n--a--\r\n\r\n--")]), TYPE
    yield from ((body([LEAST[0], file(sound)]), TYPE) for sound in (*MP3, WAV[:44], b"\0"))
    yield b"before" + b"\r\n" + body(LEAST) + b"after\r\n", TYPE.replace("=b", '="b"; charset=x')


def doubtful() -> Iterator[Sent]:
    """Forms that may as well be read as refused."""
    yield from ((body([(head, b"x"), *LEAST]), TYPE) for head in ODD_HEADS)
    for cut in (b"\r\n", b"--b", b"\r\n\r\n", b"Content-Disposition", b"form-data", b'"'):
        for instead in (b"", b"\n", b"\r", cut * 2, bytes(9)):
            yield body(LEAST).replace(cut, instead), TYPE
