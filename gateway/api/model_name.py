"""The model that a request on /v1 names."""

from collections.abc import Mapping

from gateway.errors import Invalid


def model_name(body: Mapping[str, object]) -> str:
    """Invalid where there is none."""
    name = body.get("model", "")
    if not isinstance(name, str):
        raise Invalid("'model' must be a string")
    if not name.strip():
        raise Invalid("model is required")
    return name
