"""The names of `runners`, which are imported when they are first used."""

import subprocess
import sys

import pytest

import runners
from runners import exports
from runners.scheduler import Scheduler


def test_the_package_offers_what_its_list_of_names_holds() -> None:
    assert [name for name in exports.__all__ if getattr(runners, name) is None] == []
    assert runners.Scheduler is Scheduler


def test_another_name_is_an_error() -> None:
    name = "nonsense"
    with pytest.raises(AttributeError, match=name):
        getattr(runners, name)


def test_the_build_package_loads_nothing_that_must_be_installed() -> None:
    text = (
        "import runners.build.install, sys; "
        "print(sorted({'anyio', 'psutil', 'orjson', 'runners.scheduler'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
