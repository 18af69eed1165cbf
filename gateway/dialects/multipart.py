"""Forms with files in them, as RFC 7578 has them: from a body to its fields."""

from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser

from gateway.errors import Invalid

_REFUSED = "failed to parse multipart form: "
_MOST_FIELDS = 256


@dataclass(frozen=True, slots=True)
class Field:
    """What a form has under one name; the file's name if it is one, which may be empty."""

    data: bytes
    filename: str | None = None

    @property
    def text(self) -> str:
        return self.data.decode(errors="replace")


def form(body: bytes, content_type: str) -> Mapping[str, Field]:
    """The fields of a form by their names; of several with one name the first. Invalid if broken.

    A boundary cannot stand in what it bounds, so the body is cut there and nowhere else.
    """
    boundary = _boundary(content_type)
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary, _MOST_FIELDS + 1)
    if len(pieces) < 2:
        raise Invalid(_REFUSED + "multipart: NextPart: EOF")
    *parts, last = pieces[1:]
    if not last.startswith(b"--"):
        raise Invalid(_REFUSED + "unexpected EOF")
    found: dict[str, Field] = {}
    for part in parts:
        name, field = _field(part)
        found.setdefault(name, field)
    return found


def _boundary(content_type: str) -> bytes:
    head = Message()
    head["content-type"] = content_type
    if head.get_content_type() != "multipart/form-data":
        raise Invalid(_REFUSED + "request Content-Type isn't multipart/form-data")
    boundary = head.get_boundary()
    if not boundary:
        raise Invalid(_REFUSED + "no multipart boundary param in Content-Type")
    return boundary.encode()


def _field(part: bytes) -> tuple[str, Field]:
    """A part begins with the rest of the boundary's line, then its head and a blank line."""
    line, _, rest = part.partition(b"\r\n")
    head, blank, data = (b"\r\n" + rest).partition(b"\r\n\r\n")
    if line.strip() or not blank:
        raise Invalid(_REFUSED + "malformed MIME header")
    said = HeaderParser().parsestr(head.decode(errors="replace").lstrip())
    name = said.get_param("name", "", header="content-disposition")
    if said.get_content_disposition() != "form-data" or not isinstance(name, str):
        raise Invalid(_REFUSED + "a part is not form-data")
    return name, Field(data, said.get_filename())
