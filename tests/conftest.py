"""Fixtures every test may ask for."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """The gateway runs on asyncio, so that is where its tests run."""
    return "asyncio"
