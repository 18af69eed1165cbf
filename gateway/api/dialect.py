"""What an API has that others do not: the form of its errors, and the paths that they are for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ApiError:
    """An error on its way to a client. `request_id`: the request's, as its log line has it."""

    message: str
    status: int
    request_id: str
    cause: Exception | None = None
    """What it was made of; None where there is no more to say than the message."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """`error_body` makes the JSON body of an error on paths that begin with one of `prefixes`."""

    prefixes: tuple[str, ...]
    error_body: Callable[[ApiError], Mapping[str, object]]
    media_type: str
