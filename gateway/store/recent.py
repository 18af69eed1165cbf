"""A bounded cache: what was not asked for lately is forgotten first."""

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """At most `limit` values. Threads may share it: a lost race costs one reload, nothing else."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """The value under `key`, now the youngest; None when it is not kept."""
        value = self._values.pop(key, None)
        if value is not None:
            self._values[key] = value
        return value

    def put(self, key: K, value: V) -> None:
        """Keep `value`, and forget the oldest when there are too many."""
        self._values.pop(key, None)
        self._values[key] = value
        while len(self._values) > self._limit:
            self._values.pop(next(iter(self._values)), None)
