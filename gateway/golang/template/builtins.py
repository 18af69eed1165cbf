"""The functions every template has: logic, comparison, indexing, printing."""

from collections.abc import Callable, Mapping

from gateway.golang.fmt import FormatSpec, format_value, sprint, sprintf, sprintln
from gateway.golang.values import (
    MISSING,
    GoStruct,
    MissingValue,
    TemplateError,
    from_utf8,
    truth,
    type_name,
    utf8,
)

_BAD_TYPE = "invalid type for comparison"
_BAD_PAIR = "incompatible types for comparison"


def _kind(value: object) -> str | None:
    """The comparable kind of a value; None for nil, lists, maps and structs."""
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind.__name__
    return None


def _absent(value: object) -> bool:
    return value is None or isinstance(value, MissingValue)


def eq(first: object, *others: object) -> bool:
    """Whether the first equals any of the others; kinds that never can are an error."""
    if not others:
        raise TemplateError("missing argument for comparison")
    return any(_equal(first, other) for other in others)


def _equal(first: object, second: object) -> bool:
    if _absent(first) or _absent(second):
        return _absent(first) and _absent(second)
    kind, other = _kind(first), _kind(second)
    if kind != other:
        # Python would call 1 and 1.0 equal; in Go's templates comparing them is an error.
        raise TemplateError(_BAD_PAIR)
    if kind is not None:
        return bool(first == second)
    if isinstance(first, GoStruct) and isinstance(second, GoStruct):
        return first is second
    shape = FormatSpec(verb="s")
    left, right = type_name(first), type_name(second)
    if left != right:
        raise TemplateError(
            f"non-comparable types {format_value(first, shape)}: {left}, "
            f"{format_value(second, shape)}: {right}"
        )
    raise TemplateError(f"non-comparable type {format_value(second, shape)}: {right}")


def ne(first: object, second: object) -> bool:
    """The opposite of `eq`, for two values only."""
    return not _equal(first, second)


def lt(first: object, second: object) -> bool:
    """Whether the first is smaller; numbers of one kind, or strings by their bytes."""
    kind, other = _kind(first), _kind(second)
    if kind is None or other is None:
        raise TemplateError(_BAD_TYPE)
    if kind != other:
        raise TemplateError(_BAD_PAIR)
    match first, second:
        case bool(), bool():
            raise TemplateError(_BAD_TYPE)
        case str(), str():
            return utf8(first) < utf8(second)
        case (int() | float(), int() | float()):
            return first < second
    raise TemplateError(_BAD_TYPE)


def le(first: object, second: object) -> bool:
    return lt(first, second) or _equal(first, second)


def gt(first: object, second: object) -> bool:
    return not le(first, second)


def ge(first: object, second: object) -> bool:
    return not lt(first, second)


def not_(value: object) -> bool:
    return not truth(value)


def length(value: object) -> int:
    """Bytes of a string, elements of a list or map."""
    match value:
        case str():
            return len(utf8(value))
        case bytes() | list() | tuple() | Mapping():
            return len(value)
        case None:
            raise TemplateError("reflect: call of reflect.Value.Type on zero Value")
        case MissingValue():
            raise TemplateError("len of nil pointer")
    raise TemplateError(f"len of type {type_name(value)}")


def index(item: object, *indexes: object) -> object:
    """An element by place or key, then an element of that, and so on."""
    if _absent(item):
        raise TemplateError("index of untyped nil")
    for place in indexes:
        match item:
            case None | MissingValue():
                raise TemplateError("index of nil pointer")
            case str() | bytes():
                data = utf8(item) if isinstance(item, str) else item
                where = _place(place, len(data))
                # Go checks twice, with two messages: the language, and then its reflection.
                if where == len(data):
                    raise TemplateError("reflect: string index out of range")
                item = data[where]
            case list() | tuple():
                where = _place(place, len(item))
                if where == len(item):
                    raise TemplateError("reflect: slice index out of range")
                item = MISSING if item[where] is None else item[where]
            case Mapping():
                if _absent(place):
                    raise TemplateError("value is nil; should be of type string")
                if not isinstance(place, str):
                    raise TemplateError(f"value has type {type_name(place)}; should be string")
                value = item.get(place)
                item = MISSING if value is None else value
            case _:
                raise TemplateError(f"can't index item of type {type_name(item)}")
    return item


def _place(place: object, limit: int) -> int:
    """`place` as an index from 0 to `limit`, both included."""
    if _absent(place):
        raise TemplateError("cannot index slice/array with nil")
    if isinstance(place, bool) or not isinstance(place, int):
        raise TemplateError(f"cannot index slice/array with type {type_name(place)}")
    if not 0 <= place <= limit:
        raise TemplateError(f"index out of range: {place}")
    return place


def slice_(item: object, *indexes: object) -> object:
    """Part of a string (by bytes) or list."""
    if _absent(item):
        raise TemplateError("slice of untyped nil")
    if len(indexes) > 3:
        raise TemplateError(f"too many slice indexes: {len(indexes)}")
    if isinstance(item, str) and len(indexes) == 3:
        raise TemplateError("cannot 3-index slice a string")
    if not isinstance(item, str | bytes | list | tuple):
        raise TemplateError(f"can't slice item of type {type_name(item)}")
    data = utf8(item) if isinstance(item, str) else item
    bounds = [0, len(data), len(data)]
    for number, place in enumerate(indexes):
        bounds[number] = _place(place, len(data))
    for low, high in ((bounds[0], bounds[1]), (bounds[1], bounds[2])):
        if low > high:
            raise TemplateError(f"invalid slice index: {low} > {high}")
    part = data[bounds[0] : bounds[1]]
    return from_utf8(part) if isinstance(item, str) and isinstance(part, bytes) else part


def println(*values: object) -> str:
    return sprintln(values)


def print_(*values: object) -> str:
    return sprint(values)


def printf(form: str, *values: object) -> str:
    return sprintf(form, values)


def _operands(first: object, *others: object) -> object:
    """`and` and `or` when all is evaluated; the executor stops them earlier."""
    return others[-1] if others else first


BUILTINS: Mapping[str, Callable[..., object]] = {
    "and": _operands,
    "eq": eq,
    "ge": ge,
    "gt": gt,
    "index": index,
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
}

# Of the functions that every Go template has, those that no model's template uses. `call` wants a
# value that is a function, and there is none.
UNSUPPORTED = ("call", "html", "js", "urlquery")
