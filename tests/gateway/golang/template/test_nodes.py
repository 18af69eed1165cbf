from gateway.golang.template.nodes import Field, Pipe, Text, Tree


def test_positions_take_no_part_in_comparisons() -> None:
    assert Field(("A",), pos=3) == Field(("A",), pos=9)
    assert Field(("A",)) != Field(("B",))


def test_lines_do() -> None:
    assert Text("a", 1) != Text("a", 2)
    assert Pipe((), False, (), 1, pos=4) == Pipe((), False, (), 1)


def test_trees_differ_by_body_not_by_source() -> None:
    assert Tree("", (Text("a", 1),), {}, "a") == Tree("", (Text("a", 1),), {})
    assert Tree("", (Text("a", 1),), {}) != Tree("", (), {})
