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

import anyio

from runners.engine import Engine
from runners.flags import fit_argv
from runners.memory import bound, host, media
from runners.spec import MIB, Estimate, Spec

log = logging.getLogger(__name__)

_LIMIT = 60.0


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
        facts = [self.engine.identity, spec.digest, *fit_argv(spec)[2:], spec.prompt_cache]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]

    def _load(self) -> None:
        if self._read or self.cache is None:
            return
        self._read = True
        with contextlib.suppress(OSError, ValueError, TypeError):
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

    Whole MiB are cut, not rounded, so each figure gets one back. The projector is not in them.
    """
    gpu = host_bytes = 0
    seen = False
    for line in printed.splitlines():
        name, *figures = line.split()[:4] or [""]
        if len(figures) != 3 or not all(figure.isdigit() for figure in figures):
            continue
        size = sum(int(figure) + 1 for figure in figures) * MIB
        if name == "Host":
            host_bytes, seen = size, True
        else:
            gpu += size
    if not seen:
        return None
    if gpu:
        gpu += media(spec)
    else:
        host_bytes += media(spec)
    return Estimate(gpu=gpu, host=host_bytes + host(spec), exact=True)
