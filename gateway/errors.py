"""What can go wrong, by meaning. `inference/errors.py` gives each of these a status.

GatewayError
├── Invalid          the request cannot be right as it stands (400)
│   └── DigestMismatch   uploaded bytes have another digest
├── Forbidden        understood and refused (403)
├── NotFound         no such model, blob or response (404)
├── Unavailable      not now; later perhaps (503)
└── Broken           ours or the engine's fault (500)
"""


class GatewayError(Exception):
    """An error whose text is meant for the client."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Invalid(GatewayError): ...


class DigestMismatch(Invalid): ...


class Forbidden(GatewayError): ...


class NotFound(GatewayError): ...


class Unavailable(GatewayError): ...


class Broken(GatewayError): ...
