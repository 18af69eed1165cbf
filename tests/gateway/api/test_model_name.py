"""The model that a request on /v1 names."""

import pytest

from gateway.api.model_name import check_model_name
from gateway.errors import Invalid


def test_a_request_must_name_a_model() -> None:
    check_model_name("m")
    for name in ("", "  "):
        with pytest.raises(Invalid, match=r"^model is required$"):
            check_model_name(name)
