"""Forms with files in them, as RFC 7578 has them: from a body to its fields."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.errors import Invalid

# By hand, although the `multipart` package is linear in hostile input too: it reports what is wrong
# by English texts alone, and clients of Ollama's know the sentences of Go's parser.
_REFUSED = "failed to parse multipart form: "
_MOST_FIELDS = 256
_LONGEST_HEAD = 16_384
_FOLD = re.compile(r"\r\n[ \t]+")
# A name, and a value in quotes or without them. The quantifiers never give back what they took, so
# nothing is looked at twice.
_PARAMETER = re.compile(
    r';\s*+(?P<name>[^\s=;"]++)\s*+=\s*+'
    r'(?:"(?P<quoted>(?:[^"\\]++|\\.)*+)"|(?P<plain>[^\s;"]++))\s*+'
)
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class FormField:
    """One part of a form."""

    name: str
    data: bytes
    file: bool = False

    @property
    def text(self) -> str:
        return self.data.decode(errors="replace")


def read_form(body: bytes, content_type: str) -> Sequence[FormField]:
    """The fields of a form in their order; several may have one name. Invalid if broken."""
    kind, parameters = _parsed(content_type)
    if kind != "multipart/form-data":
        raise Invalid(_REFUSED + "request Content-Type isn't multipart/form-data")
    boundary = parameters.get("boundary", "")
    if not boundary or not boundary.isascii():
        raise Invalid(_REFUSED + "no multipart boundary param in Content-Type")
    # A boundary cannot stand in what it bounds, so the body is cut there and nowhere else. Unlike
    # all others the first one has no line before it, hence the line break.
    mark = b"\r\n--" + boundary.encode()
    pieces = (b"\r\n" + body).split(mark, _MOST_FIELDS + 2)
    if len(pieces) < 2:
        raise Invalid(_REFUSED + "multipart: NextPart: EOF")
    *parts, last = pieces[1:]
    if len(parts) > _MOST_FIELDS:
        raise Invalid(_REFUSED + "multipart: message too large")
    if not last.startswith(b"--"):
        raise Invalid(_REFUSED + "unexpected EOF")
    return [_field(part) for part in parts]


def _field(part: bytes) -> FormField:
    """A part begins with the rest of the boundary's line, then its head and a blank line."""
    line, _, rest = part.partition(b"\r\n")
    head, blank, data = (b"\r\n" + rest).partition(b"\r\n\r\n")
    if line.strip() or not blank or len(head) > _LONGEST_HEAD:
        raise Invalid(_REFUSED + "malformed MIME header")
    disposition = ""
    for header in _FOLD.sub(" ", head.decode(errors="replace")).split("\r\n"):
        name, _, value = header.partition(":")
        if name.strip().lower() == "content-disposition":
            disposition = value
            break
    kind, parameters = _parsed(disposition)
    if kind != "form-data" or "name" not in parameters:
        raise Invalid(_REFUSED + "a part is not form-data")
    file = "filename" in parameters or "filename*" in parameters
    return FormField(parameters["name"], data, file)


def _parsed(header: str) -> tuple[str, dict[str, str]]:
    """A header's value, in lower case, and its parameters up to the first that is broken."""
    kind, _, _ = header.partition(";")
    parameters: dict[str, str] = {}
    at = len(kind)
    while match := _PARAMETER.match(header, at):
        quoted = match["quoted"]
        value = match["plain"] if quoted is None else _ESCAPED.sub(r"\1", quoted)
        parameters.setdefault(match["name"].lower(), value)
        at = match.end()
    return kind.strip().lower(), parameters
