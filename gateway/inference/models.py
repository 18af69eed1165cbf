"""The models that can be served: by name, with the spec of the runner that each request needs."""

from dataclasses import dataclass, field
from operator import attrgetter

from anyio.to_thread import run_sync

from gateway import names
from gateway.errors import NotFound
from gateway.inference.launch import Defaults, context_for, spec_for
from gateway.inference.options import Options
from gateway.store.library import Library
from gateway.store.model import Model
from runners import Scheduler, Spec

_MOST_NAMES = 256
_MOST_SPECS = 256
_launch_options = attrgetter(
    "num_ctx",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "use_mmap",
    "num_thread",
)


@dataclass(slots=True)
class ServedModels:
    """The library and the scheduler, as inference sees them."""

    library: Library
    scheduler: Scheduler
    defaults: Defaults
    loaded: dict[Spec, Model] = field(default_factory=dict)
    """The model under whose name each runner was first requested."""
    _specs: dict[object, tuple[Spec, int]] = field(default_factory=dict)

    def peek(self, text: str) -> Model | None:
        """The model if it is known and unchanged; else `find` it.

        Invalid or Forbidden for what is no name, in Ollama's words.
        """
        # One stat, which is cheaper than the worker thread that `find` takes.
        model = self.library.peek(names.resolve(text))
        return None if model is None else _runnable(text, model)

    async def find(self, text: str) -> Model:
        """The model of a name as a client writes it. Invalid, Forbidden or NotFound."""
        name = names.resolve(text)
        try:
            model = await run_sync(self.library.get, name)
        except NotFound:
            raise NotFound(f"model '{text}' not found") from None
        return _runnable(text, model)

    def spec(self, model: Model, options: Options, shift: bool | None = None) -> tuple[Spec, int]:
        """How to launch it, and the tokens that a request may use of the runner's context."""
        if not model.weights_digest:
            raise NotFound(f"model '{model.name.short}' has no weights that can be run")
        # Most requests are like one before: a manifest never changes under its digest, so what was
        # worked out for it holds, and costs a look into a dict instead of a walk over the header.
        key = (model.digest, _launch_options(options), "num_batch" in options.given, shift)
        if (known := self._specs.get(key)) is None:
            if len(self._specs) >= _MOST_SPECS:
                self._specs.clear()
            known = (
                spec_for(model, options, self.defaults, shift),
                context_for(model, options, self.defaults),
            )
            self._specs[key] = known
        spec, context = known
        live = self.scheduler.specs()
        # A smaller context than that of a runner at hand is no reason to launch another.
        if spec not in live:
            spec = next((other for other in live if other.covers(spec)), spec)
        # Of several names for the same weights, /api/ps shows the one that loaded the runner.
        if spec not in self.loaded or spec not in live:
            self.loaded[spec] = model
            # The names of runners that have gone are only dropped when there are many of them.
            if len(self.loaded) > _MOST_NAMES:
                kept = {*live, spec}
                self.loaded = {key: name for key, name in self.loaded.items() if key in kept}
        return spec, min(context, spec.context)


def _runnable(text: str, model: Model) -> Model:
    # Before a runner is launched: the engine would only say that it could not load the file.
    if model.weights_digest and model.header is None:
        raise NotFound(f"the weights of model '{text}' are missing or cannot be read")
    return model
