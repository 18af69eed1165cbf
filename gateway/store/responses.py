"""Responses that are stored so that a later request can continue them: one SQLite file.

Several servers may use the file at once. The least recently used responses are deleted, at a
certain age or when there is no room. The content of responses and items is opaque here.
"""

import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from gateway.errors import NotFound, Unavailable

log = logging.getLogger(__name__)

StoredItem = dict[str, object]
"""A message, a call, …, with its `id`, as `api/responses` made it."""
T = TypeVar("T")

_VERSION = 1
_BUSY_TIMEOUT = 10.0
"""Seconds to wait for another server's write."""
_UNREADABLE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
# The second column of `items` is 1 for those of the output and 0 for those of the input. It keeps
# its odd name, which is part of files that exist.
_TABLES = """
CREATE TABLE IF NOT EXISTS responses (
    id TEXT PRIMARY KEY, previous TEXT, used REAL NOT NULL, size INTEGER NOT NULL,
    body TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS items (
    response TEXT NOT NULL REFERENCES responses(id) ON DELETE CASCADE,
    said INTEGER NOT NULL, place INTEGER NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (response, said, place)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS items_by_id ON items(id);
CREATE INDEX IF NOT EXISTS responses_by_use ON responses(used);
"""
# The conversation that ends with a response, from its end to its beginning.
_CHAIN = """
WITH RECURSIVE chain(id, previous, depth) AS (
    SELECT id, previous, 0 FROM responses WHERE id = ? AND used > ?
    UNION ALL
    SELECT r.id, r.previous, depth + 1 FROM responses r JOIN chain c ON r.id = c.previous
)
"""


class _ForeignDatabase(Exception):
    """The file is a database of some other program or of another version of this one."""


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response object and its request's input items; the output is in `response["output"]`."""

    response: Mapping[str, Any]
    inputs: Sequence[StoredItem]


class Responses:
    """The file at `path`. Every method blocks; threads may share the object.

    NotFound where a response is not here, Unavailable where the file cannot be used at all.

    `lifetime` is in seconds from the last use, `room` in bytes of what is stored. A file that
    cannot be read is renamed, and a new one begun.
    """

    def __init__(
        self,
        path: Path,
        *,
        lifetime: float,
        room: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._lifetime = lifetime
        self._room = room
        self._now = now
        # One connection for all threads: SQLite takes one writer at a time anyway.
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None

    def save(self, stored: StoredResponse) -> bool:
        """Store a response, all of it or nothing. False if it is larger than the room there is."""
        ident, previous = stored.response["id"], stored.response["previous_response_id"]
        rows = [
            (ident, is_output, place, item["id"], _encode(item))
            for is_output, items in ((0, stored.inputs), (1, stored.response["output"]))
            for place, item in enumerate(items)
        ]
        # The output is in rows of its own: items are looked up one by one, by their ids.
        body = _encode({**stored.response, "output": []})
        size = len(body) + sum(len(row[-1]) for row in rows)
        if size > self._room:
            return False

        def write(database: sqlite3.Connection) -> bool:
            response = (ident, previous, self._now(), size, body)
            database.execute("INSERT INTO responses VALUES (?, ?, ?, ?, ?)", response)
            database.executemany("INSERT INTO items VALUES (?, ?, ?, ?, ?)", rows)
            # What is too old, then the least recently used until the rest has room. Here, since
            # only a new response can make the file too large.
            database.execute("DELETE FROM responses WHERE used <= ?", (self._oldest(),))
            (total,) = database.execute("SELECT sum(size) FROM responses").fetchone()
            if total > self._room:
                oldest = database.execute("SELECT id, size FROM responses ORDER BY used").fetchall()
                for unused, freed in oldest:
                    if total <= self._room:
                        break
                    database.execute("DELETE FROM responses WHERE id = ?", (unused,))
                    total -= freed
            return True

        return self._do(write)

    def get(self, ident: str) -> dict[str, Any]:
        """The response itself."""

        def read(database: sqlite3.Connection) -> dict[str, Any]:
            query = "SELECT body FROM responses WHERE id = ? AND used > ?"
            row = database.execute(query, (ident, self._oldest())).fetchone()
            if row is None:
                raise _missing(ident)
            return {**json.loads(row[0]), "output": _items(database, ident, output=True)}

        return self._do(read)

    def inputs(self, ident: str) -> list[StoredItem]:
        """The input items of its request, without those of earlier responses."""
        # For its NotFound: no items is what a response with an empty input has as well.
        self.get(ident)
        return self._do(lambda database: _items(database, ident, output=False))

    def history(self, ident: str) -> list[StoredItem]:
        """The whole conversation up to and with a response; NotFound if a part of it is missing.

        That counts as a use of all of it.
        """

        def read(database: sqlite3.Connection) -> list[StoredItem]:
            query = f"{_CHAIN} SELECT id, previous FROM chain ORDER BY depth DESC"
            chain = database.execute(query, (ident, self._oldest())).fetchall()
            if not chain or chain[0][1] is not None:
                raise _missing(ident)
            # All of them, or the oldest would expire under a conversation that still goes on.
            used = [(self._now(), each) for each, _ in chain]
            database.executemany("UPDATE responses SET used = ? WHERE id = ?", used)
            return [
                item
                for each, _ in chain
                for output in (False, True)
                for item in _items(database, each, output=output)
            ]

        return self._do(read)

    def find(self, idents: Sequence[str]) -> dict[str, StoredItem]:
        """Items by their ids, of whatever response; those that are not stored are left out."""

        def read(database: sqlite3.Connection) -> dict[str, StoredItem]:
            query = (
                "SELECT items.body FROM items JOIN responses ON responses.id = response "
                "WHERE items.id = ? AND used > ? ORDER BY used DESC LIMIT 1"
            )
            items: dict[str, StoredItem] = {}
            for ident in idents:
                row = database.execute(query, (ident, self._oldest())).fetchone()
                if row is not None:
                    items[ident] = json.loads(row[0])
            return items

        return self._do(read)

    def delete(self, ident: str) -> None:
        def write(database: sqlite3.Connection) -> None:
            if not database.execute("DELETE FROM responses WHERE id = ?", (ident,)).rowcount:
                raise _missing(ident)

        self._do(write)

    def close(self) -> None:
        with self._lock:
            self._close()

    def _oldest(self) -> float:
        return self._now() - self._lifetime

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in one transaction; again on a new file if this one is unreadable."""
        with self._lock:
            try:
                try:
                    return self._transact(work)
                except (sqlite3.DatabaseError, _ForeignDatabase) as exc:
                    # The low byte is the primary code. Other errors are those of the file's place,
                    # or of another writer: the file itself may be sound.
                    code = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_NOTADB)
                    if code & 0xFF not in _UNREADABLE:
                        raise
                    self._put_aside(exc)
                    return self._transact(work)
            except (sqlite3.Error, _ForeignDatabase, OSError) as exc:
                raise Unavailable(f"stored responses cannot be used: {exc}") from exc

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._database is None:
            self._database = _open(self._path)
        with _transaction(self._database):
            return work(self._database)

    def _put_aside(self, error: Exception) -> None:
        self._close()
        # All of it is read first: another server may have renamed the broken file already, and
        # the one that is here now be sound.
        with (
            suppress(sqlite3.DatabaseError, _ForeignDatabase),
            closing(_open(self._path)) as database,
        ):
            if database.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok":
                return
        aside = self._path.with_name(f"{self._path.name}.broken-{int(self._now())}")
        log.warning("%s cannot be read (%s): it is now %s", self._path, error, aside.name)
        # With its journal, or SQLite would replay that into the new file.
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.replace(f"{self._path}{suffix}", f"{aside}{suffix}")

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None


def _missing(ident: str) -> NotFound:
    return NotFound(f"Response with id '{ident}' not found.")


def _open(path: Path) -> sqlite3.Connection:
    """The database, created if it is missing, readable by its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Before SQLite creates it: that would give it the rights of the umask.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    database = sqlite3.connect(
        path, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
    )
    try:
        # In this mode readers of other servers need not wait for a writer.
        database.execute("PRAGMA journal_mode = WAL")
        # secure_delete: what a user deletes must not stay readable in free pages of the file.
        for pragma in ("synchronous = NORMAL", "foreign_keys = ON", "secure_delete = ON"):
            database.execute(f"PRAGMA {pragma}")
        with _transaction(database):
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version != _VERSION:
                (tables,) = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
                if version or tables:
                    raise _ForeignDatabase(f"a database of version {version}")
                # One by one: `executescript` would commit the transaction first.
                for statement in filter(None, _TABLES.split(";\n")):
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {_VERSION}")
    except BaseException:
        database.close()
        raise
    return database


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing."""
    # IMMEDIATE takes the write lock now, where the busy timeout applies. Taken at the first write
    # it fails at once if another process has written since this transaction first read.
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with suppress(sqlite3.Error):
            database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _items(database: sqlite3.Connection, ident: str, *, output: bool) -> list[StoredItem]:
    query = "SELECT body FROM items WHERE response = ? AND said = ? ORDER BY place"
    return [json.loads(row[0]) for row in database.execute(query, (ident, output))]


def _encode(value: object) -> str:
    # ASCII, with the standard library: it keeps lone surrogates as escapes. SQLite refuses them as
    # text, and orjson refuses them altogether.
    return json.dumps(value, separators=(",", ":"))
