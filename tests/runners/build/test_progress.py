"""What a build prints."""

import pytest

from runners.build.progress import TextProgress, ninja_count


def test_on_a_terminal_the_count_is_one_line() -> None:
    written: list[str] = []
    progress = TextProgress(written.append, terminal=True)
    progress.compiled("cpu", 1, 3)
    progress.compiled("cpu", 3, 3)
    title = "\rengine: compiling llama.cpp (cpu)"
    assert "".join(written) == f"{title} [1/3]{title} [3/3]\n"


def test_elsewhere_the_count_is_a_line_every_tenth() -> None:
    written: list[str] = []
    progress = TextProgress(written.append, terminal=False)
    for number in range(1, 201):
        progress.compiled("cuda", number, 200)
    assert len(written) == 11
    assert written[:2] == [
        "engine: compiling llama.cpp (cuda) [1/200]\n",
        "engine: compiling llama.cpp (cuda) [20/200]\n",
    ]
    assert written[-1] == "engine: compiling llama.cpp (cuda) [200/200]\n"


def test_a_second_compilation_is_counted_from_its_beginning() -> None:
    written: list[str] = []
    progress = TextProgress(written.append, terminal=False)
    for _ in range(2):
        for number in (1, 2):
            progress.compiled("cpu", number, 2)
    assert len(written) == 4


@pytest.mark.parametrize("terminal", [False, True])
def test_a_step_is_a_line(terminal: bool) -> None:
    written: list[str] = []
    TextProgress(written.append, terminal).say("waiting")
    assert written == ["engine: waiting\n"]


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("[12/345] Building CXX object a.o\n", (12, 345)),
        ("-- Configuring done\n", None),
        ("a.cpp:1: warning: [3/4] is odd\n", None),
    ],
)
def test_ninjas_lines_hold_a_count(line: str, count: tuple[int, int] | None) -> None:
    assert ninja_count(line) == count
