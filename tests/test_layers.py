"""Who may import whom, that every module has its tests, and that no file grows out of hand."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 600

# For a package or a module: what of ours it may import beside its own package, and which packages
# of others. Of several rows that fit, the longest name counts. A name stands for all below it.
# The standard library is open to all but PURE.
TABLE: dict[str, tuple[str, str]] = {
    "gateway": ("", ""),
    "gateway.__main__": ("gateway.cli", ""),
    "gateway.errors": ("", ""),
    "gateway.names": ("gateway.errors", ""),
    "gateway.digests": ("gateway.errors", ""),
    "gateway.address": ("gateway.errors", ""),
    "gateway.modelfile": ("gateway.errors gateway.golang", ""),
    "gateway.settings": (
        "gateway.errors gateway.golang.duration gateway.golang.strconv",
        "pydantic pydantic_settings",
    ),
    # Leaves: no API, no HTTP server, no scheduler.
    "gateway.golang": ("gateway.errors", "orjson"),
    "gateway.templates": ("gateway.golang", "orjson"),
    "gateway.llama": ("gateway.errors gateway.golang runners", "anyio orjson PIL"),
    "gateway.store": (
        "gateway.digests gateway.errors gateway.golang gateway.modelfile gateway.names "
        "gateway.templates",
        "anyio cachetools",
    ),
    "gateway.registry": (
        "gateway gateway.digests gateway.errors gateway.names gateway.store",
        "anyio httpx",
    ),
    "gateway.registry.keys": ("", "cryptography"),
    "gateway.registry.chunks": ("", ""),
    "gateway.http": ("", "anyio httptools hypercorn starlette"),
    # From a request to a reply, whichever API it came by.
    "gateway.inference": (
        "gateway.errors gateway.golang gateway.http gateway.llama gateway.names gateway.store "
        "gateway.templates runners",
        "anyio orjson starlette",
    ),
    "gateway.services": (
        "gateway.errors gateway.inference gateway.names gateway.registry gateway.store runners",
        "anyio starlette",
    ),
    # What every API has; then each API, which knows no other.
    "gateway.api": (
        "gateway.errors gateway.golang gateway.http gateway.inference gateway.llama "
        "gateway.services runners",
        "anyio orjson starlette",
    ),
    "gateway.api.*": (
        "gateway gateway.digests gateway.errors gateway.golang gateway.http gateway.inference "
        "gateway.llama gateway.modelfile gateway.names gateway.registry gateway.services "
        "gateway.store gateway.templates runners",
        "anyio orjson starlette",
    ),
    "gateway.app": ("gateway.api gateway.http gateway.services", "starlette"),
    "gateway.serve": (
        "gateway gateway.address gateway.app gateway.errors gateway.http gateway.inference "
        "gateway.services gateway.settings gateway.store runners",
        "anyio hypercorn",
    ),
    "gateway.cli": (
        "gateway gateway.address gateway.errors gateway.golang gateway.modelfile gateway.names",
        "click",
    ),
    # `serve` is the one command that loads the server, `engine` the one that builds.
    "gateway.cli.commands": ("gateway gateway.serve", "click"),
    "gateway.cli.engine": ("gateway gateway.errors runners runners.build", ""),
    "gateway.cli.client": ("gateway gateway.address gateway.errors gateway.golang", "httpx"),
    "gateway.cli.progress_bars": ("", "rich"),
    "gateway.cli.prompt": ("", "prompt_toolkit"),
    "runners": ("runners.exports", ""),
    "runners.exports": ("runners.*", ""),
    # A bare Python runs it: nothing that has to be installed, and nothing of `runners` around it.
    "runners.build": ("", ""),
    "runners.errors": ("", ""),
    "runners.spec": ("", ""),
    "runners.states": ("", ""),
    "runners.diagnose": ("runners.errors", ""),
    "runners.memory": ("runners.spec", ""),
    "runners.place": ("runners.spec", ""),
    "runners.evict": ("runners.spec", ""),
    "runners.flags": ("runners.memory runners.spec", ""),
    "runners.plan": (
        "runners.errors runners.evict runners.memory runners.place runners.spec runners.states",
        "",
    ),
    "runners.engine": ("runners.build.locations runners.errors", ""),
    "runners.child": ("runners.errors", "anyio"),
    "runners.rundir": ("", "psutil"),
    "runners.devices": ("runners.engine runners.spec", "anyio psutil"),
    "runners.estimate": ("runners.engine runners.flags runners.memory runners.spec", "anyio"),
    "runners.upstream": ("runners.errors runners.states", "httptools orjson"),
    "runners.health": ("runners.child runners.diagnose runners.errors", "anyio"),
    "runners.supervise": (
        "runners runners.child runners.diagnose runners.engine runners.errors runners.flags "
        "runners.health runners.rundir runners.spec runners.upstream",
        "anyio",
    ),
    "runners.runner": (
        "runners.errors runners.spec runners.states runners.supervise runners.upstream",
        "anyio",
    ),
    "runners.lease": ("runners.errors runners.runner runners.spec runners.upstream", "anyio"),
    "runners.scheduler": (
        "runners.devices runners.errors runners.estimate runners.lease runners.plan "
        "runners.runner runners.spec runners.states runners.supervise",
        "anyio",
    ),
}

# Decisions and translations: values in, values out. They have no use for these.
PURE = (
    "gateway.errors gateway.names gateway.digests gateway.address gateway.modelfile "
    "gateway.golang* gateway.templates* gateway.registry.keys gateway.registry.chunks "
    "gateway.llama.requests gateway.llama.events gateway.llama.sse gateway.llama.schema_limits "
    "gateway.inference.types gateway.inference.options gateway.inference.history "
    "gateway.inference.encoder gateway.inference.launch "
    "gateway.api.fields gateway.api.*.object gateway.api.openai.passthrough "
    "gateway.api.openai.completions gateway.api.*.fields gateway.api.*.requests "
    "gateway.api.*.messages gateway.api.*.stream gateway.api.*.tools gateway.api.*.replies "
    "runners.errors runners.spec runners.states runners.diagnose runners.memory runners.place "
    "runners.evict runners.flags runners.plan runners.build.progress runners.build.recipe"
)
IMPURE = (
    "asyncio concurrent http logging multiprocessing os random secrets select selectors shutil "
    "socket subprocess tempfile threading time urllib.request"
)

# Modules whose tests have another name, or are elsewhere because they need a process of its own.
TWINS = {
    # One set of recorded replies is played to all writers of an API.
    "gateway.api.openai.object": "tests/gateway/api/openai/test_stream.py",
    "gateway.api.openai.completions": "tests/gateway/api/openai/test_stream.py",
    "gateway.__main__": "tests/e2e/test_commands.py",
    "gateway.cli": "tests/gateway/cli/test_main.py",
}


@dataclass(frozen=True)
class Import:
    path: Path
    line: int
    module: str
    target: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}: {self.module} imports {self.target}"


def sources() -> dict[str, Path]:
    """Every module of both packages and where it is."""
    result = {}
    for package in ("gateway", "runners"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            result[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return result


SOURCES = sources()


def imports(module: str, path: Path) -> Iterator[Import]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: relative import"
            assert node.module is not None
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            targets = [name if name in SOURCES else node.module for name in inner]
        else:
            continue
        for target in dict.fromkeys(targets):
            yield Import(path, node.lineno, module, target)


ALL = [one for module, path in SOURCES.items() for one in imports(module, path)]


def listed(name: str, patterns: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns.split())


def package(module: str) -> str:
    """The package that a module belongs to; of an API its folder."""
    parts = module.split(".")
    if parts[0] == "runners":
        return "runners.build" if parts[:2] == ["runners", "build"] else "runners"
    if parts[:2] == ["gateway", "api"]:
        return ".".join(parts[:3]) if SOURCES[module].parent.name != "api" else "gateway.api"
    return ".".join(parts[:2]) if (ROOT / "/".join(parts[:2])).is_dir() else module


def row(module: str) -> tuple[str, str] | None:
    fitting = [name for name in TABLE if fnmatchcase(module, name) or below(module, name)]
    return TABLE[max(fitting, key=len)] if fitting else None


def below(module: str, name: str) -> bool:
    """Whether a row's name stands for `module`; the two roots stand for themselves alone."""
    return name not in ("gateway", "runners") and fnmatchcase(module, f"{name}.*")


def allowed(one: Import) -> bool:
    result = row(one.module)
    if result is None:
        return False
    ours, others = result
    top = one.target.partition(".")[0]
    if top in ("gateway", "runners"):
        if one.target in SOURCES and package(one.target) == package(one.module) != "runners":
            return True
        if package(one.module).startswith("gateway.api.") and one.target in SOURCES:
            if package(one.target).startswith("gateway.api."):
                return False
            if package(one.target) == "gateway.api":
                return True
        return listed(one.target, ours) or any(below(one.target, name) for name in ours.split())
    if top in sys.stdlib_module_names:
        return top not in IMPURE.split() or not listed(one.module, PURE)
    return top in others.split()


def test_imports_keep_to_the_table() -> None:
    wrong = [str(one) for one in ALL if not allowed(one)]
    assert not wrong, "\n".join(wrong)


def test_packages_import_each_other_one_way_only() -> None:
    graph: dict[str, set[str]] = {}
    for one in ALL:
        if one.target in SOURCES and package(one.target) != package(one.module):
            graph.setdefault(package(one.module), set()).add(package(one.target))
    assert len(list(TopologicalSorter(graph).static_order())) > 20


def test_the_table_names_every_module_and_no_other() -> None:
    assert [module for module in SOURCES if row(module) is None] == []
    stale = [name for name in TABLE if all(row(m) is not TABLE[name] for m in SOURCES)]
    assert stale == []
    assert [name for name in PURE.split() if not any(fnmatchcase(m, name) for m in SOURCES)] == []


def test_runners_know_nothing_of_the_gateway() -> None:
    inward = [one for one in ALL if one.module.startswith("runners")]
    assert inward
    assert [str(one) for one in inward if one.target.startswith("gateway")] == []


def test_the_gateway_uses_runners_by_their_door_only() -> None:
    # `runners.build` is beside it: one command builds, and needs nothing that runs.
    outward = [one for one in ALL if one.module.startswith("gateway")]
    inner = [one for one in outward if listed(one.target, "runners.*")]
    assert [str(one) for one in inner if not listed(one.target, "runners.build.*")] == []


def test_what_the_command_line_loads_is_a_client() -> None:
    """Whatever its modules import, and whatever those import; `serve` and `engine` apart."""
    reached = {"gateway.serve", "gateway.cli.engine"}
    ahead = {m for m in SOURCES if m.startswith("gateway.cli")} - reached
    while ahead:
        reached |= ahead
        ahead = {one.target for one in ALL if one.module in ahead} & SOURCES.keys() - reached
    server = "runners* gateway.app gateway.inference* gateway.api* gateway.services gateway.store*"
    assert [module for module in sorted(reached) if listed(module, server)] == []


def test_nothing_is_imported_for_type_checkers_only() -> None:
    hidden = [module for module, path in SOURCES.items() if "TYPE_CHECKING" in path.read_text()]
    # A bare Python imports `runners` on its way to `runners.build`, so its names come later.
    assert hidden == ["runners"]


def test_every_module_has_tests_of_its_name() -> None:
    missing = []
    for module, path in SOURCES.items():
        if path.name == "__init__.py" and module not in TWINS:
            continue  # it names its parts and does nothing
        *folders, name = module.split(".")
        twin = ROOT / TWINS.get(module, "/".join(("tests", *folders, f"test_{name}.py")))
        if not twin.is_file():
            missing.append(f"{path.relative_to(ROOT)}: no {twin.relative_to(ROOT)}")
    assert not missing, "\n".join(missing)


def test_no_file_is_longer_than_people_read() -> None:
    ours = [ROOT / "build.py"]
    for folder in ("gateway", "runners", "tests", "bench"):
        ours += (ROOT / folder).rglob("*.py")
    counts = {path: path.read_text().count("\n") for path in ours}
    long = [f"{p.relative_to(ROOT)}: {n} lines" for p, n in counts.items() if n > LONGEST]
    assert not long, "\n".join(long)


if __name__ == "__main__":
    # The files whose branches `make coverage` counts.
    pure = (path.relative_to(ROOT) for module, path in SOURCES.items() if listed(module, PURE))
    sys.stdout.write(",".join(str(path) for path in pure))
