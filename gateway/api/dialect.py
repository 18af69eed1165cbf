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
    """What was raised; None for a failure that no API has a form of its own for."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """The form of errors on paths that begin with one of `prefixes`."""

    prefixes: tuple[str, ...]
    error_body: Callable[[ApiError], Mapping[str, object]]
    """The JSON body of an error."""
    media_type: str
