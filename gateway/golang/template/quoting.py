"""Go string literals: reading the three quoted forms, writing the double-quoted one."""

import re

from gateway.golang.template.values import from_octets, octets

_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
_NAMES = {value: f"\\{name}" for name, value in _SIMPLE.items()}
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\'\"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3}))"
)


def quote(text: str, mark: str = '"', *, plain: bool = False) -> str:
    """`text` as a Go literal in `mark`s; with `plain`, in ASCII only."""
    out = []
    for char in text:
        code = ord(char)
        if char in (mark, "\\"):
            out.append("\\" + char)
        elif char.isprintable() and (code < 128 or not plain):
            out.append(char)
        elif char in _NAMES:
            out.append(_NAMES[char])
        elif code < 0x20 or code == 0x7F:
            out.append(f"\\x{code:02x}")
        elif 0xDC80 <= code <= 0xDCFF:
            out.append(f"\\x{code - 0xDC00:02x}")
        else:
            out.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return mark + "".join(out) + mark


def unquote(literal: str) -> str:
    """The string a quoted or back-quoted literal stands for; ValueError where Go refuses it."""
    if literal.startswith("`"):
        return literal[1:-1].replace("\r", "")
    text, mark = literal[1:-1], literal[0]
    if "\\" not in text:
        return text
    out, here = bytearray(), 0
    while (found := text.find("\\", here)) >= 0:
        data, after = _escaped(text, found, mark)
        out += octets(text[here:found]) + data
        here = after
    return from_octets(bytes(out) + octets(text[here:]))


def rune(literal: str) -> int:
    """The code of a character constant; ValueError where Go refuses it."""
    text = literal[1:-1]
    if text.startswith("\\"):
        data, after = _escaped(text, 0, "'")
        if after != len(text):
            raise ValueError("malformed character constant: " + literal)
        decoded = from_octets(data)
        code = ord(decoded) if len(decoded) == 1 else data[0]
        return code - 0xDC00 if 0xDC80 <= code <= 0xDCFF else code
    if len(text) != 1:
        raise ValueError("malformed character constant: " + literal if text else "invalid syntax")
    return ord(text)


def _escaped(text: str, at: int, mark: str) -> tuple[bytes, int]:
    """The bytes of the escape at `at`, and the offset after it."""
    match = _ESCAPE.match(text, at)
    if match is None:
        raise ValueError("invalid syntax")
    simple, byte, short, long, octal = match.groups()
    if simple in ("'", '"'):
        if simple != mark:
            raise ValueError("invalid syntax")
        return simple.encode(), match.end()
    if simple:
        return _SIMPLE[simple].encode(), match.end()
    if byte or octal:
        code = int(byte, 16) if byte else int(octal, 8)
        if code > 255:
            raise ValueError("invalid syntax")
        return bytes([code]), match.end()
    code = int(short or long, 16)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise ValueError("invalid syntax")
    return chr(code).encode(), match.end()
