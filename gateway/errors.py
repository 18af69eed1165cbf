"""What can go wrong, by meaning. `routes/errors.py` alone turns a meaning into a status.

GatewayError
├── Invalid          the request cannot be right as it stands (400)
│   └── DigestMismatch   uploaded bytes are not what their digest says
├── Forbidden        understood and refused (403)
├── NotFound         a name or a blob that is not here (404)
├── Unavailable      not now; later perhaps (503)
└── Broken           ours or the engine's fault (500)
"""


class GatewayError(Exception):
    """An error whose text is meant for the client."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Invalid(GatewayError):
    """The request cannot be right as it stands."""


class DigestMismatch(Invalid):
    """Uploaded bytes are not what their digest says."""


class Forbidden(GatewayError):
    """Understood and refused."""


class NotFound(GatewayError):
    """A name or a blob that is not here."""


class Unavailable(GatewayError):
    """Not now; later perhaps."""


class Broken(GatewayError):
    """Ours or the engine's fault."""
