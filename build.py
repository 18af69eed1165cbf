"""Build the engine of this checkout; `python build.py --help` lists the options.

`paddock engine install` does the same for a package.
"""

# The work is done by `runners/build/`. Neither needs anything but the standard library: this runs
# with a bare Python, before anything is installed.

import argparse
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from runners.build.install import FLAVOURS, EngineRequest, check_engine, fetch_source, install
from runners.build.locations import locations
from runners.build.progress import TextProgress
from runners.build.source import BuildError
from runners.build.trial import TrialCrashed


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="build.py", description="Build the engine.")
    add = parser.add_argument
    add("--flavour", choices=FLAVOURS, default="auto", help="what it computes on (default: auto)")
    add("--arch", default="", help="GPU architectures for cuda (80;90) or hip (gfx1100;gfx942)")
    add("--portable", action="store_true", help="every CPU variant, chosen at run time")
    add("-D", dest="defines", action="append", default=[], metavar="NAME=VALUE", help="for CMake")
    add("-j", dest="jobs", type=int, default=0, metavar="N", help="compile N files at once")
    add("--source", type=Path, metavar="PATH", help="a llama.cpp archive or tree of your own")
    add("--source-only", action="store_true", help="put the source in place, build nothing")
    add("--rebuild", action="store_true", help="build even if the cache has this engine")
    add("--check", action="store_true", help="try the engine in use, build nothing")
    return parser.parse_args(argv)


def engine_request(arguments: argparse.Namespace) -> EngineRequest:
    return EngineRequest(
        flavour=arguments.flavour,
        architectures=re.split("[;,]", arguments.arch) if arguments.arch else (),
        portable=arguments.portable,
        defines=arguments.defines,
        jobs=arguments.jobs,
        source=arguments.source,
        rebuild=arguments.rebuild,
    )


def write(text: str) -> None:
    # Flushed, for progress without an end of line would stay in the buffer.
    print(text, end="", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 for an engine, 1 for none, 130 when interrupted."""
    arguments = parse(argv)
    progress = TextProgress(write, sys.stdout.isatty())
    try:
        if arguments.check:
            check_engine(locations(os.environ).link, progress)
        elif arguments.source_only:
            fetch_source(arguments.source, progress)
        else:
            install(engine_request(arguments), progress)
    except (BuildError, TrialCrashed) as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("build.py: stopped; the next build goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    # As an interrupt does: the compilers are stopped as well, and half a result is removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
