"""Who may import whom, that every module has its tests, and that no file grows out of hand."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 400

# Modules of ours, then packages of others. A name with a star stands for all below it; of several
# rows that fit a module the longest name counts. The standard library is open to all but PURE.
TABLE: dict[str, tuple[str, str]] = {
    "gateway": ("", ""),
    "gateway.__main__": ("gateway.cli", ""),
    "gateway.errors": ("", ""),
    "gateway.wire": ("", "orjson"),
    "gateway.numbers": ("", "orjson"),
    "gateway.names": ("gateway.errors", ""),
    "gateway.digests": ("gateway.errors", ""),
    "gateway.durations": ("gateway.errors", ""),
    "gateway.address": ("gateway.errors", ""),
    "gateway.modelfile": ("gateway.errors gateway.numbers", ""),
    "gateway.gotemplate*": ("gateway.gotemplate* gateway.numbers gateway.wire", "orjson"),
    "gateway.templates*": (
        "gateway.gotemplate* gateway.numbers gateway.templates* gateway.wire",
        "orjson",
    ),
    "gateway.dialects*": (
        "gateway.dialects* gateway.errors gateway.wire gateway.durations",
        "orjson",
    ),
    "gateway.store*": (
        "gateway.store* gateway.errors gateway.gotemplate gateway.names gateway.digests "
        "gateway.modelfile gateway.numbers gateway.templates* gateway.wire",
        "",
    ),
    "gateway.registry*": (
        "gateway gateway.digests gateway.errors gateway.names gateway.registry.* gateway.store.*",
        "anyio httpx",
    ),
    "gateway.registry.keys": ("", ""),
    "gateway.registry.parts": ("", ""),
    "gateway.registry.references": ("gateway.errors gateway.names", ""),
    "gateway.registry.failures": ("gateway.errors", "anyio"),
    "gateway.registry.reporting": ("gateway.errors", "anyio"),
    "gateway.settings": ("gateway.durations gateway.errors", "pydantic pydantic_settings"),
    "gateway.clock": ("gateway.dialects.ollama_replies", ""),
    "gateway.describe": ("gateway.numbers gateway.store.*", ""),
    "gateway.launch": (
        "gateway.dialects.options gateway.store.gguf gateway.store.model runners",
        "",
    ),
    "gateway.services": (
        "gateway.dialects.options gateway.errors gateway.launch gateway.names "
        "gateway.registry.transfers gateway.store.* runners",
        "anyio starlette",
    ),
    "gateway.guard": ("", "starlette"),
    "gateway.logs": ("", "starlette"),
    "gateway.infer": (
        "gateway.dialects.call gateway.errors gateway.http1 gateway.logs runners",
        "anyio starlette",
    ),
    "gateway.transcode": (
        "gateway.dialects.call gateway.dialects.pictures gateway.errors",
        "anyio PIL",
    ),
    "gateway.quantize": ("gateway.errors gateway.store.*", "anyio"),
    "gateway.asking": ("gateway.dialects.call gateway.dialects.engine runners", "orjson"),
    "gateway.prompting": (
        "gateway.asking gateway.dialects* gateway.errors gateway.gotemplate gateway.logs "
        "gateway.store.model gateway.templates* runners",
        "",
    ),
    "gateway.routes*": (
        "gateway gateway.asking gateway.clock gateway.describe gateway.dialects* gateway.digests "
        "gateway.durations gateway.errors gateway.gotemplate gateway.infer gateway.logs "
        "gateway.names gateway.numbers gateway.prompting gateway.quantize "
        "gateway.registry.references gateway.routes.* "
        "gateway.services gateway.store.* gateway.templates.* gateway.transcode gateway.wire "
        "runners",
        "anyio orjson starlette",
    ),
    "gateway.app": ("gateway.guard gateway.logs gateway.routes* gateway.services", "starlette"),
    "gateway.http1": ("", "httptools hypercorn"),
    "gateway.listen": ("gateway.http1", "anyio hypercorn"),
    "gateway.serve": (
        "gateway gateway.address gateway.app gateway.errors gateway.guard gateway.launch "
        "gateway.listen gateway.logs gateway.services gateway.settings gateway.store.library "
        "gateway.store.responses runners",
        "anyio hypercorn",
    ),
    "gateway.cli*": (
        "gateway gateway.cli* gateway.address gateway.durations gateway.errors gateway.modelfile "
        "gateway.names gateway.numbers gateway.wire",
        "",
    ),
    "gateway.cli.client": ("gateway gateway.address gateway.errors gateway.wire", "httpx"),
    "gateway.cli.serve": ("gateway.cli.console gateway.cli.flags gateway.serve", ""),
    "runners": ("runners.exports", ""),
    "runners.exports": ("runners.*", ""),
    "runners.build": ("", ""),
    "runners.build.pin": ("", ""),
    "runners.build.cache": ("", ""),
    "runners.build.progress": ("", ""),
    "runners.build.scripted_model": ("", ""),
    "runners.build.source": ("runners.build.pin", ""),
    "runners.build.recipe": ("runners.build.source", ""),
    "runners.build.locations": ("runners.build.cache runners.build.pin", ""),
    "runners.build.trial": ("runners.build runners.build.scripted_model runners.build.source", ""),
    "runners.build.toolchain": (
        "runners.build.cache runners.build.progress runners.build.recipe runners.build.source",
        "",
    ),
    "runners.build.compile": (
        "runners.build runners.build.cache runners.build.pin runners.build.progress "
        "runners.build.recipe runners.build.source runners.build.toolchain",
        "",
    ),
    "runners.build.install": ("runners.build runners.build.*", ""),
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
    "runners.measure": ("runners.engine runners.flags runners.memory runners.spec", "anyio"),
    "runners.upstream": ("runners.errors", "httptools orjson"),
    "runners.health": ("runners.child runners.diagnose runners.errors", "anyio"),
    "runners.supervise": (
        "runners runners.child runners.diagnose runners.engine runners.errors runners.flags "
        "runners.health runners.rundir runners.spec runners.upstream",
        "anyio",
    ),
    "runners.records": (
        "runners.errors runners.spec runners.states runners.supervise runners.upstream",
        "anyio",
    ),
    "runners.scheduler": (
        "runners.devices runners.errors runners.measure runners.plan runners.records runners.spec "
        "runners.states runners.supervise",
        "anyio",
    ),
}

# Decisions and translations: values in, values out. They have no use for these.
PURE = (
    "gateway.errors gateway.wire gateway.numbers gateway.names gateway.digests gateway.durations "
    "gateway.address gateway.modelfile gateway.gotemplate* gateway.templates* gateway.dialects* "
    "gateway.launch gateway.registry.keys gateway.registry.parts "
    "runners.errors runners.spec runners.states runners.diagnose runners.memory runners.place "
    "runners.evict runners.flags runners.plan runners.build.progress "
    "runners.build.recipe"
)
IMPURE = (
    "asyncio concurrent http logging multiprocessing os random secrets select selectors shutil "
    "socket subprocess tempfile threading time urllib.request"
)

# Modules whose tests have another name, or are elsewhere because they need a process of its own.
TWINS = {
    "gateway.__main__": "tests/e2e/test_commands.py",
    "gateway.cli": "tests/gateway/cli/test_main.py",
    "gateway.cli.serve": "tests/e2e/test_shutdown.py",
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
    found = {}
    for package in ("gateway", "runners"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


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


def row(module: str) -> tuple[str, str] | None:
    fitting = [name for name in TABLE if fnmatchcase(module, name)]
    return TABLE[max(fitting, key=len)] if fitting else None


def allowed(one: Import) -> bool:
    found = row(one.module)
    if found is None:
        return False
    ours, others = found
    top = one.target.partition(".")[0]
    if top in ("gateway", "runners"):
        return listed(one.target, ours)
    if top in sys.stdlib_module_names:
        return top not in IMPURE.split() or not listed(one.module, PURE)
    return top in others.split()


def test_imports_keep_to_the_table() -> None:
    wrong = [str(one) for one in ALL if not allowed(one)]
    assert not wrong, "\n".join(wrong)


def test_the_table_names_every_module_and_no_other() -> None:
    assert [module for module in SOURCES if row(module) is None] == []
    assert [name for name in TABLE if not any(fnmatchcase(m, name) for m in SOURCES)] == []
    assert [name for name in PURE.split() if not any(fnmatchcase(m, name) for m in SOURCES)] == []


def test_runners_know_nothing_of_the_gateway() -> None:
    inward = [one for one in ALL if one.module.startswith("runners")]
    assert inward
    assert [str(one) for one in inward if one.target.startswith("gateway")] == []


def test_the_gateway_uses_runners_by_their_door_only() -> None:
    # `runners.build` has no door of its own: one command uses it, and nothing of it is running.
    outward = [one for one in ALL if one.module.startswith("gateway")]
    inner = [one for one in outward if listed(one.target, "runners.*")]
    assert [str(one) for one in inner if not listed(one.target, "runners.build.*")] == []


def test_what_the_command_line_loads_is_a_client() -> None:
    """Whatever its modules import, and whatever those import; `serve` and `engine` apart."""
    reached, ahead = set[str](), {m for m in SOURCES if m.startswith("gateway.cli")}
    ahead -= {"gateway.cli.serve"}
    while ahead:
        reached |= ahead
        ahead = {one.target for one in ALL if one.module in ahead} & SOURCES.keys() - reached
    server = "runners* gateway.app gateway.infer gateway.routes* gateway.services gateway.store*"
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
