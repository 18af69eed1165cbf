"""What handlers work with."""

import pytest

from tests.fakes.server import open_gateway


@pytest.mark.anyio
async def test_inference_sees_the_same_library_and_scheduler() -> None:
    async with open_gateway() as gateway:
        services = gateway.services
        assert services.models.library is services.library
        assert services.models.scheduler is services.scheduler
