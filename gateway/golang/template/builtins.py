"""The functions every template has: logic, comparison, indexing, printing, escaping."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote_plus

from gateway.golang.template.formatting import Spec, formatted
from gateway.golang.template.printf import LONGEST, joined, sprint, sprintf, sprintln
from gateway.golang.template.values import (
    MISSING,
    Missing,
    Struct,
    TemplateError,
    from_octets,
    octets,
    truth,
    type_name,
)

_BAD_TYPE = "invalid type for comparison"
_BAD_PAIR = "incompatible types for comparison"


def _kind(value: Any) -> str | None:
    """The comparable kind of a value; None for nil, lists, maps and structs."""
    for kind in (bool, int, float, complex, str):
        if isinstance(value, kind):
            return kind.__name__
    return None


def _absent(value: Any) -> bool:
    return value is None or isinstance(value, Missing)


def eq(first: Any, *others: Any) -> bool:
    """Whether the first equals any of the others; kinds that never can are an error."""
    if not others:
        raise TemplateError("missing argument for comparison")
    return any(_equal(first, other) for other in others)


def _equal(first: Any, second: Any) -> bool:
    if _absent(first) or _absent(second):
        return _absent(first) and _absent(second)
    kind, other = _kind(first), _kind(second)
    if kind != other:
        raise TemplateError(_BAD_PAIR)
    if kind is not None:
        return bool(first == second)
    if isinstance(first, Struct) and isinstance(second, Struct):
        return first is second
    shape = Spec(verb="s")
    left, right = type_name(first), type_name(second)
    if left != right:
        raise TemplateError(
            f"non-comparable types {formatted(first, shape)}: {left}, "
            f"{formatted(second, shape)}: {right}"
        )
    raise TemplateError(f"non-comparable type {formatted(second, shape)}: {right}")


def ne(first: Any, second: Any) -> bool:
    """The opposite of `eq`."""
    return not _equal(first, second)


def lt(first: Any, second: Any) -> bool:
    """Whether the first is smaller; numbers of one kind, or strings by their bytes."""
    kind, other = _kind(first), _kind(second)
    if kind is None or other is None:
        raise TemplateError(_BAD_TYPE)
    if kind != other:
        raise TemplateError(_BAD_PAIR)
    if kind in ("bool", "complex"):
        raise TemplateError(_BAD_TYPE)
    return octets(first) < octets(second) if kind == "str" else bool(first < second)


def le(first: Any, second: Any) -> bool:
    """Smaller or equal."""
    return lt(first, second) or _equal(first, second)


def gt(first: Any, second: Any) -> bool:
    """Greater."""
    return not le(first, second)


def ge(first: Any, second: Any) -> bool:
    """Greater or equal."""
    return not lt(first, second)


def not_(value: Any) -> bool:
    """Whether the value is false."""
    return not truth(value)


def length(value: Any) -> int:
    """Bytes of a string, elements of a list or map."""
    match value:
        case str():
            return len(octets(value))
        case bytes() | list() | tuple() | Mapping():
            return len(value)
        case None:
            raise TemplateError("reflect: call of reflect.Value.Type on zero Value")
        case Missing():
            raise TemplateError("len of nil pointer")
    raise TemplateError(f"len of type {type_name(value)}")


def index(item: Any, *indexes: Any) -> Any:
    """An element by place or key, then an element of that, and so on."""
    if _absent(item):
        raise TemplateError("index of untyped nil")
    for place in indexes:
        item = _element(item, place)
    return item


def _element(item: Any, place: Any) -> Any:
    match item:
        case None | Missing():
            raise TemplateError("index of nil pointer")
        case str() | bytes():
            data = octets(item) if isinstance(item, str) else item
            where = _place(place, len(data))
            if where == len(data):
                raise TemplateError("reflect: string index out of range")
            return data[where]
        case list() | tuple():
            where = _place(place, len(item))
            if where == len(item):
                raise TemplateError("reflect: slice index out of range")
            return MISSING if item[where] is None else item[where]
        case Mapping():
            return _entry(item, place)
    raise TemplateError(f"can't index item of type {type_name(item)}")


def _entry(item: Mapping[str, Any], key: Any) -> Any:
    if _absent(key):
        raise TemplateError("value is nil; should be of type string")
    if not isinstance(key, str):
        raise TemplateError(f"value has type {type_name(key)}; should be string")
    found = item.get(key, MISSING)
    return MISSING if found is None else found


def _place(place: Any, limit: int) -> int:
    """An index as an integer up to the limit."""
    if _absent(place):
        raise TemplateError("cannot index slice/array with nil")
    if isinstance(place, bool) or not isinstance(place, int):
        raise TemplateError(f"cannot index slice/array with type {type_name(place)}")
    if not 0 <= place <= limit:
        raise TemplateError(f"index out of range: {place}")
    return place


def slice_(item: Any, *indexes: Any) -> Any:
    """Part of a string (by bytes) or list."""
    if _absent(item):
        raise TemplateError("slice of untyped nil")
    if len(indexes) > 3:
        raise TemplateError(f"too many slice indexes: {len(indexes)}")
    if isinstance(item, str) and len(indexes) == 3:
        raise TemplateError("cannot 3-index slice a string")
    if not isinstance(item, str | bytes | list | tuple):
        raise TemplateError(f"can't slice item of type {type_name(item)}")
    data = octets(item) if isinstance(item, str) else item
    bounds = [0, len(data), len(data)]
    for number, place in enumerate(indexes):
        bounds[number] = _place(place, len(data))
    for low, high in ((bounds[0], bounds[1]), (bounds[1], bounds[2])):
        if low > high:
            raise TemplateError(f"invalid slice index: {low} > {high}")
    part = data[bounds[0] : bounds[1]]
    return from_octets(part) if isinstance(item, str) and isinstance(part, bytes) else part


def _text(values: tuple[Any, ...]) -> str:
    """The arguments of an escaping function as one string."""
    return sprint(["<no value>" if _absent(value) else value for value in values])


_HTML = str.maketrans(
    {'"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;", "\0": "\ufffd"}
)
_JS = {"\\": "\\\\", "'": "\\'", '"': '\\"'} | {c: f"\\u00{ord(c):02X}" for c in "<>&="}


def html(*values: Any) -> str:
    """Safe in an HTML text."""
    return _bounded(_text(values).translate(_HTML))


def js(*values: Any) -> str:
    """Safe in a JavaScript string."""
    out = []
    for char in _text(values):
        code = ord(char)
        if char in _JS:
            out.append(_JS[char])
        elif char == " " or char.isprintable():
            out.append(char)
        else:
            out.append(f"\\u{code:04X}")
    return joined(out)


def urlquery(*values: Any) -> str:
    """Safe in the query of a URL."""
    return _bounded(quote_plus(octets(_text(values))))


def _bounded(text: str) -> str:
    if len(text) > LONGEST:
        raise TemplateError("result is too long")
    return text


def println(*values: Any) -> str:
    """The values with spaces and a newline."""
    return sprintln(values)


def print_(*values: Any) -> str:
    """The values one after another."""
    return sprint(values)


def printf(form: str, *values: Any) -> str:
    """The values by a format."""
    return sprintf(form, values)


def _operands(first: Any, *others: Any) -> Any:
    """`and` and `or` when all is evaluated; the executor stops them earlier."""
    return others[-1] if others else first


def call(name: str, function: Any, *_values: Any) -> Any:
    """Call a function value. No value of ours is a function, so this fails; `name` is its text."""
    if _absent(function):
        raise TemplateError("call of nil")
    raise TemplateError(f"non-function {name} of type {type_name(function)}")


BUILTINS: Mapping[str, Callable[..., Any]] = {
    "and": _operands,
    "call": call,
    "eq": eq,
    "ge": ge,
    "gt": gt,
    "html": html,
    "index": index,
    "js": js,
    "le": le,
    "len": length,
    "lt": lt,
    "ne": ne,
    "not": not_,
    "or": _operands,
    "print": print_,
    "printf": printf,
    "println": println,
    "slice": slice_,
    "urlquery": urlquery,
}
