"""What a Spec needs, asked of the engine: llama-fit-params loads a model without its weights.

Answers are kept in memory, and on disk under the engine's identity, for they never change.
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

_LIMIT = 60.0


class Oracle(Protocol):
    """What a Spec needs: remembered, or asked of the engine."""

    def known(self, spec: Spec) -> Estimate | None: ...
    async def __call__(self, spec: Spec) -> Estimate: ...


@dataclass(slots=True)
class Measurer:
    """Call it with a Spec; it returns an Estimate, the engine's if it has one, else the bound."""

    engine: Engine
    cache: Path | None = None
    """A file; None: nothing outlives the process."""
    _known: dict[str, Estimate] = field(default_factory=dict, init=False)
    _read: bool = field(default=False, init=False)

    async def __call__(self, spec: Spec) -> Estimate:
        key = self._key(spec)
        self._load()
        if known := self._known.get(key):
            return known
        estimate = await self._ask(spec)
        if estimate is None:
            return bound(spec)
        self._known[key] = estimate
        self._save()
        return estimate

    def known(self, spec: Spec) -> Estimate | None:
        """What an earlier call, or an earlier process, learned."""
        self._load()
        return self._known.get(self._key(spec))

    async def _ask(self, spec: Spec) -> Estimate | None:
        if self.engine.fit is None:
            return None
        try:
            with anyio.fail_after(_LIMIT):
                done = await anyio.run_process(
                    [str(self.engine.fit), *fit_argv(spec)],
                    stderr=subprocess.DEVNULL,
                    check=False,
                )
        except (OSError, TimeoutError) as exc:
            log.warning("cannot measure %s: %s", spec, exc)
            return None
        return parse(done.stdout.decode("utf-8", "replace"), spec)

    def _key(self, spec: Spec) -> str:
        sizes = (spec.size, spec.media, spec.adapters_size, spec.prompt_cache)
        facts = [self.engine.identity, spec.digest, *fit_argv(spec)[2:], *sizes]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]

    def _load(self) -> None:
        if self._read or self.cache is None:
            return
        self._read = True
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            for key, (gpu, host_bytes) in json.loads(self.cache.read_text()).items():
                self._known[key] = Estimate(int(gpu), int(host_bytes), exact=True)

    def _save(self) -> None:
        if self.cache is None:
            return
        table = {key: (estimate.gpu, estimate.host) for key, estimate in self._known.items()}
        temporary = self.cache.with_suffix(".tmp")
        with contextlib.suppress(OSError):
            self.cache.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(table))
            temporary.replace(self.cache)


def parse(printed: str, spec: Spec) -> Estimate | None:
    """Rows `<device> <model> <context> <compute>` in MiB, the host's last; None if there are none.

    Whole MiB are cut, not rounded, so each figure gets one back. Left out of the rows are weights
    that a CPU kernel repacks into memory of its own, the adapters and the projector: the first are
    what the model rows lack of the file.
    """
    rows = [row for line in printed.splitlines() if (row := _row(line))]
    if not rows or rows[-1][0] != "Host":
        return None
    *devices, alone = [sum(figures) for _, figures in rows]
    repacked = max(0, spec.size - sum(figures[0] for _, figures in rows))
    gpu = sum(devices) + (extras(spec) if devices else 0)
    extra = repacked + host(spec) + (0 if devices else extras(spec))
    return Estimate(gpu=gpu, host=alone + extra, exact=True)


def _row(line: str) -> tuple[str, list[int]] | None:
    """A device and its three figures in bytes."""
    name, *figures = line.split() or [""]
    if len(figures) != 3 or not all(figure.isdigit() for figure in figures):
        return None
    return name, [(int(figure) + 1) * MIB for figure in figures]
