"""Times of a model in the unit that callers want."""

from gateway.names import parse
from gateway.store.json_files import Config
from gateway.store.model import Entry


def test_modified_is_in_seconds() -> None:
    entry = Entry(parse("m"), "", 0, 1_500_000_000, Config(), "", (), None)
    assert entry.modified == 1.5
