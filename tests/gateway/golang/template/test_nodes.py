from gateway.golang.template.nodes import FieldNode, PipeNode, TextNode, Tree


def test_positions_take_no_part_in_comparisons() -> None:
    assert FieldNode(("A",), pos=3) == FieldNode(("A",), pos=9)
    assert FieldNode(("A",)) != FieldNode(("B",))


def test_lines_do() -> None:
    assert TextNode("a", 1) != TextNode("a", 2)
    assert PipeNode((), False, (), 1, pos=4) == PipeNode((), False, (), 1)


def test_trees_differ_by_body_not_by_source() -> None:
    assert Tree("", (TextNode("a", 1),), {}, "a") == Tree("", (TextNode("a", 1),), {})
    assert Tree("", (TextNode("a", 1),), {}) != Tree("", (), {})
