"""The cache keeps what was used last."""

from gateway.store.recent import Recent


def test_the_least_recently_used_value_is_forgotten_first() -> None:
    recent: Recent[str, int] = Recent(2)
    recent.put("a", 1)
    recent.put("b", 2)
    recent.get("a")
    recent.put("c", 3)
    assert [recent.get(key) for key in ("a", "b", "c")] == [1, None, 3]


def test_a_value_put_again_is_replaced() -> None:
    recent: Recent[str, int] = Recent(2)
    recent.put("a", 1)
    recent.put("a", 2)
    assert recent.get("a") == 2
