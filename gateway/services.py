"""What handlers work with: the library, the scheduler, and what is known of the models they run."""

from dataclasses import dataclass, field

from anyio.to_thread import run_sync
from starlette.requests import Request

from gateway import names
from gateway.errors import NotFound
from gateway.inference.launch import Defaults, context_for, spec_for
from gateway.inference.options import Options
from gateway.registry.transfers import Transfers
from gateway.store.library import Library
from gateway.store.model import Model
from gateway.store.responses import Responses
from runners import Engine, Scheduler, Spec

_MOST_NAMES = 256


@dataclass(slots=True)
class Services:
    """The collaborators of every handler; built once, in `serve`."""

    library: Library
    scheduler: Scheduler
    engine: Engine
    defaults: Defaults
    no_cloud: bool = False
    responses: Responses | None = None
    """Where replies are kept; None: nowhere."""
    loaded: dict[Spec, Model] = field(default_factory=dict)
    """The model under whose name each runner was first asked for."""
    transfers: Transfers = field(init=False)

    def __post_init__(self) -> None:
        self.transfers = Transfers(self.library)

    async def model(self, text: str) -> Model:
        """The model that a client names. Invalid, Forbidden or NotFound, in Ollama's words."""
        name = names.resolve(text)
        found = self.library.peek(name)
        if found is None:
            try:
                found = await run_sync(self.library.get, name)
            except NotFound:
                raise NotFound(f"model '{text}' not found") from None
        if found.weights_digest and found.header is None:
            raise NotFound(f"the weights of model '{text}' are missing or cannot be read")
        return found

    def spec(self, model: Model, options: Options, shift: bool | None = None) -> Spec:
        """How to launch it, and a note of whose weights those are.

        A smaller context than that of a child at hand is no reason to launch another.
        """
        if not model.weights_digest:
            raise NotFound(f"model '{model.name.short}' has no weights that can be run")
        spec = spec_for(model, options, self.defaults, shift)
        live = self.scheduler.specs()
        if spec not in live:
            spec = next((other for other in live if other.covers(spec)), spec)
        self._note(spec, model)
        return spec

    def context(self, model: Model, options: Options) -> int:
        """Tokens that a request may use, be its child's context as large as it may."""
        return context_for(model, options, self.defaults)

    def _note(self, spec: Spec, model: Model) -> None:
        """Remember the first name, for as long as the runner lives."""
        if self.loaded.get(spec) is model:
            return
        live = self.scheduler.specs()
        if spec not in self.loaded or spec not in live:
            self.loaded[spec] = model
        if len(self.loaded) > _MOST_NAMES:
            self.loaded = {key: name for key, name in self.loaded.items() if key in {*live, spec}}


def services(request: Request) -> Services:
    """Those of the app that a request has reached."""
    found: Services = request.app.state.services
    return found
