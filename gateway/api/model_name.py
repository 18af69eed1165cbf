"""The model that a request on /v1 names."""

from gateway.errors import Invalid


def check_model_name(name: str) -> None:
    if not name.strip():
        raise Invalid("model is required")
