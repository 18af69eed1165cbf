"""Figures of small sources of which every number is known."""

from pathlib import Path
from textwrap import dedent

import pytest

from bench.structure import (
    SourceFile,
    defined_again,
    figures,
    main,
    measure,
    offenders,
    rank,
    read,
    words_in,
)


def source(text: str, path: str = "p/m.py") -> SourceFile:
    return measure(path, dedent(text).lstrip("\n"))


@pytest.mark.parametrize(
    ("signature", "holds"),
    [
        ("(a: int, *b: str, c: bytes = b'', **d: float) -> None", False),
        ("(a: Any) -> None", True),
        ("(*, a: int, b: dict[str, Any]) -> None", True),
        ("(a, /, *b: 'list[Any]') -> None", True),
        ("(**a: Any) -> None", True),
        ("() -> Callable[..., Any]", True),
        ("(a: typing.Any)", True),
        ("(a: Anything = Any) -> 'Anyone'", False),
    ],
)
def test_any_is_seen_anywhere_in_a_signature(signature: str, holds: bool) -> None:
    [function] = source(f"async def f{signature}: ...").functions
    assert function.holds_any is holds


def test_a_private_function_with_one_mention_is_used_once() -> None:
    file = source(
        """
        def public(): _once()
        def _once(): _twice(); return f"{_in_text()}"
        def _twice(): _twice()
        def _in_text(): pass
        def _never(): pass
        class A:
            def __init__(self): self._method()
            def _method(self): pass
            def _same(self): pass
        class B:
            def _same(self): pass
        TABLE = {"key": _entry}
        def _entry(): pass
        """
    )
    once = [(f.spot.text, f.method) for f in file.functions if f.used_once]
    assert sorted(once) == [
        ("_entry", False),
        ("_in_text", False),
        ("_method", True),
        ("_once", False),
    ]
    shown = figures([file])
    assert (shown["functions"], shown["private functions used once"]) == ("10", "40.0 %")
    assert shown["  functions + methods"] == "3 + 1"


def test_lines_with_comments_are_a_share_of_lines_with_code_or_comments() -> None:
    file = source(
        '''
        """A docstring
        of two lines."""

        # Alone.
        x = """a string
        of two lines"""  # Behind.
        y = "# in a string"  # noqa: E501
        """Below a field."""
        '''
    )
    assert (file.lines, file.filled, file.commented) == (8, 4, 2)
    assert figures([file])["lines with a comment"] == "50.0 %"


def test_classes_and_aliases_share_one_space_of_names() -> None:
    files = [
        source(
            """
            class Reply: ...
            class Once: ...
            Kind = int | str
            T = TypeVar("T")
            TABLE = other[0]
            Name = make()
            """
        ),
        source(
            """
            Reply: TypeAlias = "int"
            Kind = Literal["a"]
            T = TypeVar("T")
            TABLE = other[0]
            Name = make()
            def f():
                class Reply: ...
            """,
            "q/n.py",
        ),
    ]
    again = {name: [str(spot) for spot in spots] for name, spots in defined_again(files).items()}
    assert again == {
        "Reply": ["p/m.py:1: Reply", "q/n.py:7: Reply", "q/n.py:1: Reply"],
        "Kind": ["p/m.py:3: Kind", "q/n.py:2: Kind"],
    }
    assert figures(files)["type names defined twice"] == "2"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("was_told", ["told"]),
        ("AskedTwice", ["asked"]),
        ("FOUND_SAID", ["found", "said"]),
        ("it is said, and Said again", ["said", "said"]),
        ("foundation, untold, profound", []),
    ],
)
def test_words_are_whole_parts(text: str, words: list[str]) -> None:
    assert words_in(text) == words


def test_words_count_in_identifiers_and_prose_but_not_in_strings() -> None:
    file = source(
        '''
        """What was said."""
        def f(told=None):  # as asked
            """One line,

            then what was found."""
            print("not found", f"{told}", said=1)
        '''
    )
    assert [str(spot) for spot in file.identifiers] == [
        "p/m.py:2: told",
        "p/m.py:6: said",
        "p/m.py:6: told",
    ]
    assert sorted(str(spot) for spot in file.prose) == [
        "p/m.py:1: said",
        "p/m.py:2: asked",
        "p/m.py:5: found",
    ]
    shown = figures([file])
    assert shown['"told": names + prose'] == "2 + 0"
    assert shown['"said": names + prose'] == "1 + 1"


def test_lengths_are_from_def_to_the_last_line() -> None:
    file = source(
        """
        @decorated
        def three(
            a):
            return a
        def one(): ...
        """
    )
    assert [function.length for function in file.functions] == [3, 1]


def test_rank_is_the_least_value_that_covers_the_share() -> None:
    tens = list(range(10, 110, 10))
    assert [rank(tens, share) for share in (0.5, 0.9, 0.91, 1.0)] == [50, 90, 100, 100]
    assert rank([], 0.9) == 0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path in ("a/one.py", "a/inner/two.py", "a/llama.cpp/three.py", "b/four.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("class Found:\n    pass\n")
    return tmp_path


def test_only_folders_that_can_be_imported_are_read(root: Path) -> None:
    assert [file.path for file in read(root, "a")] == ["a/inner/two.py", "a/one.py"]


def test_the_table_has_a_column_for_each_package_and_all(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(root), "a", "b"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["figure", "a", "b", "all"]
    assert lines[2].split() == ["files", "2", "1", "3"]
    assert len(lines) == 2 + len(figures([]))


def test_the_list_names_what_is_behind_the_figures(root: Path) -> None:
    blocks = offenders(read(root, "a")).split("\n\n")
    assert "type names defined twice: 1\n  Found: a/inner/two.py:1, a/one.py:1" in blocks
    assert "words in identifiers: 2\n  a/inner/two.py:1: Found\n  a/one.py:1: Found" in blocks
    assert "private functions used once: 0" in blocks


def test_a_package_that_is_not_there_is_an_error(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([str(root), "a", "c"])
    assert f"there is no package c in {root}" in capsys.readouterr().err
