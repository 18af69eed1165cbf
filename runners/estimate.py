"""What a Spec needs, as llama-fit-params answers: it loads a model without its weights.

Estimates are kept in memory, and on disk under the engine's identity: they never change.
"""

import contextlib
import hashlib
import json
import logging
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import anyio

from runners.engine import Engine
from runners.flags import fit_argv
from runners.memory import bound, extras, host
from runners.spec import MIB, Estimate, Spec

log = logging.getLogger(__name__)

# It takes some 70 ms; one that hangs, in a driver perhaps, must not hold up its requests for ever.
_TIME_LIMIT = 60.0


class Estimator(Protocol):
    """What the scheduler needs of an EngineEstimator."""

    def known(self, spec: Spec) -> Estimate | None: ...
    async def __call__(self, spec: Spec) -> Estimate: ...


@dataclass(slots=True)
class EngineEstimator:
    """Called with a Spec it returns the engine's estimate, or without one our bound."""

    # The engine's own arithmetic is not written again here: it differs by architecture, backend
    # and version.

    engine: Engine
    cache: Path | None = None
    """A JSON file, key -> [bytes on GPUs, bytes on the host]; None: kept in memory only."""
    _known: dict[str, Estimate] = field(default_factory=dict, init=False)
    _loaded: bool = field(default=False, init=False)

    async def __call__(self, spec: Spec) -> Estimate:
        if known := self.known(spec):
            return known
        estimate: Estimate | None = None
        if self.engine.fit is not None:
            command = [str(self.engine.fit), *fit_argv(spec)]
            try:
                with anyio.fail_after(_TIME_LIMIT):
                    done = await anyio.run_process(command, stderr=subprocess.DEVNULL, check=False)
                estimate = parse(done.stdout.decode("utf-8", "replace"), spec)
            except (OSError, TimeoutError) as exc:
                log.warning("no estimate of %s: %s", spec, exc)
        if estimate is None:
            # Not kept: the next call may have more luck.
            return bound(spec)
        self._known[self._key(spec)] = estimate
        if self.cache is not None:
            table = {key: (each.gpu, each.host) for key, each in self._known.items()}
            temporary = self.cache.with_suffix(".tmp")
            # A disk that is full costs the next process 70 ms, and no request.
            with contextlib.suppress(OSError):
                self.cache.parent.mkdir(parents=True, exist_ok=True)
                temporary.write_text(json.dumps(table))
                temporary.replace(self.cache)
        return estimate

    def known(self, spec: Spec) -> Estimate | None:
        """The estimate of an earlier call, or of an earlier process."""
        if not self._loaded and self.cache is not None:
            # A file that is damaged is as good as none, and is written anew.
            with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
                for key, (gpu, host_bytes) in json.loads(self.cache.read_text()).items():
                    self._known[key] = Estimate(int(gpu), int(host_bytes), exact=True)
        self._loaded = True
        return self._known.get(self._key(spec))

    def _key(self, spec: Spec) -> str:
        sizes = (spec.size, spec.media, spec.adapters_size, spec.prompt_cache)
        # Without the path of the weights: a file that is copied or moved needs what it needed.
        facts = [self.engine.identity, spec.digest, *fit_argv(spec)[2:], *sizes]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def parse(printed: str, spec: Spec) -> Estimate | None:
    """Rows `<device> <model> <context> <compute>` in MiB, the host's last; None without one."""
    rows: list[tuple[str, list[int]]] = []
    for line in printed.splitlines():
        name, *figures = line.split() or [""]
        if len(figures) == 3 and all(figure.isdigit() for figure in figures):
            # Whole MiB are cut, not rounded, so each figure gets one back.
            rows.append((name, [(int(figure) + 1) * MIB for figure in figures]))
    if not rows or rows[-1][0] != "Host":
        return None
    *devices, on_host = [sum(figures) for _, figures in rows]
    # A CPU kernel may repack weights into memory of its own, which no row counts: it is what the
    # model columns lack of the file. Adapters and projector are in no row either.
    repacked = max(0, spec.size - sum(figures[0] for _, figures in rows))
    gpu = sum(devices) + (extras(spec) if devices else 0)
    extra = repacked + host(spec) + (0 if devices else extras(spec))
    return Estimate(gpu=gpu, host=on_host + extra, exact=True)
