"""What route handlers work with. Built once, in `serve`."""

from dataclasses import dataclass, field

from starlette.requests import Request

from gateway.inference.launch import Defaults
from gateway.inference.models import ServedModels
from gateway.registry.transfers import Transfers
from gateway.store.library import Library
from gateway.store.responses import Responses
from runners import Engine, Scheduler


@dataclass(slots=True)
class Services:
    """The collaborators of every handler."""

    library: Library
    scheduler: Scheduler
    engine: Engine
    defaults: Defaults
    no_cloud: bool = False
    responses: Responses | None = None
    """Where responses are stored; None: nowhere."""
    models: ServedModels = field(init=False)
    transfers: Transfers = field(init=False)

    def __post_init__(self) -> None:
        self.models = ServedModels(self.library, self.scheduler, self.defaults)
        self.transfers = Transfers(self.library)


def services_of(request: Request) -> Services:
    """Those of the app that a request has reached."""
    services: Services = request.app.state.services
    return services
