"""`python -m bench.structure [--list] [ROOT [PACKAGE...]]`: the shape of the code, in figures.

ROOT is a folder of packages, this checkout if it is left out; PACKAGE is a folder in it, `gateway`
and `runners` if none is named. Nothing is imported, so an installed library is measured as well:

    python -m bench.structure .venv/lib/python3.12/site-packages starlette httpcore

What is counted:

- A signature holds `Any` if the name is anywhere in the annotation of a parameter or of the result.
  Aliases are not resolved; functions in functions count, lambdas do not.
- A private function (one leading underscore or two, not a dunder) is used once if its file defines
  the name once and mentions it once more. The share is of all functions, public ones included.
- A comment line has a comment on it, alone or behind code; directives to tools (`noqa`, `type:`,
  `fmt:`) are none. The share is of the lines with code or comments; docstrings are neither.
- A name is defined twice if classes or type aliases of it stand in two places, of any package.
- A word is counted where it is a part of an identifier (`was_told`, `Told`), and in comments and
  docstrings. Strings that the program uses are left out.
"""

import argparse
import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from bench.figures import grid

PACKAGES = ("gateway", "runners")
WORDS = ("said", "asked", "told", "found")

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DIRECTIVE = re.compile(r"#\s*(noqa|type:|fmt:|pragma:)")
# The humps of CamelCase, and runs of capitals or small letters.
_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_LAYOUT = {
    tokenize.ENCODING,
    tokenize.NEWLINE,
    tokenize.NL,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in a file, and what stands there."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


@dataclass(frozen=True, slots=True)
class Function:
    spot: Spot
    length: int
    """Lines from `def` to the last one, decorators left out."""
    holds_any: bool
    method: bool
    used_once: bool
    """It is private, and there is one mention of it in its file."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """What is counted of one file."""

    path: str
    lines: int
    filled: int
    """Lines with code or comments on them; those of docstrings are neither."""
    commented: int
    functions: tuple[Function, ...]
    types: tuple[Spot, ...]
    """Definitions of classes and of type aliases; `text` is the name."""
    identifiers: tuple[Spot, ...]
    """Mentions of identifiers that hold one of WORDS; `text` is the identifier."""
    prose: tuple[Spot, ...]
    """Each of WORDS in a comment or docstring, once for each time; `text` is the word."""


def measure(path: str, source: str) -> SourceFile:
    tree = ast.parse(source)
    filled, comments = _lines(source)
    docstrings = list(_docstrings(tree))
    prose = [*comments, *((node.lineno, text) for node, text in docstrings)]
    for node, _ in docstrings:
        filled -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    filled |= {line for line, _ in comments}
    return SourceFile(
        path=path,
        lines=source.count("\n"),
        filled=len(filled),
        commented=len({line for line, text in comments if not _DIRECTIVE.match(text)}),
        functions=tuple(_functions(path, tree)),
        types=tuple(_types(path, tree)),
        identifiers=tuple(
            Spot(path, line, name) for line, name in sorted(_identifiers(tree)) if words_in(name)
        ),
        prose=tuple(
            Spot(path, line + above, word)
            for line, text in prose
            for above, row in enumerate(text.splitlines())
            for word in words_in(row)
        ),
    )


def words_in(text: str) -> list[str]:
    """Those of WORDS in an identifier or in prose, in order and as often as they come."""
    parts = (part.lower() for part in _PARTS.findall(text))
    return [part for part in parts if part in WORDS]


def _lines(source: str) -> tuple[set[int], list[tuple[int, str]]]:
    """The lines that have something on them; and all comments, each with its line."""
    filled: set[int] = set()
    comments: list[tuple[int, str]] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            comments.append((token.start[0], token.string))
        if token.type not in _LAYOUT:
            filled.update(range(token.start[0], token.end[0] + 1))
    return filled, comments


def _functions(path: str, tree: ast.Module) -> Iterator[Function]:
    methods = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for child in node.body
        if isinstance(child, _FUNCTIONS)
    }
    # Definitions are among them: a name with two mentions is defined once and used once, unless
    # both are definitions, as with a method that two classes of a file have.
    mentions = Counter(name for _, name in _identifiers(tree))
    nodes = [node for node in ast.walk(tree) if isinstance(node, _FUNCTIONS)]
    definitions = Counter(node.name for node in nodes)
    for node in nodes:
        private = node.name.startswith("_") and not node.name.endswith("__")
        once = definitions[node.name] == 1 and mentions[node.name] == 2
        yield Function(
            spot=Spot(path, node.lineno, node.name),
            length=(node.end_lineno or node.lineno) - node.lineno + 1,
            holds_any=_holds_any(node),
            method=id(node) in methods,
            used_once=private and once,
        )


def _holds_any(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    given = node.args
    parameters = (*given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs, given.kwarg)
    annotations = [node.returns, *(one.annotation for one in parameters if one is not None)]
    for part in (part for one in annotations if one is not None for part in ast.walk(one)):
        match part:
            case ast.Name(id="Any") | ast.Attribute(attr="Any"):
                return True
            case ast.Constant(value=str(text)) if re.search(r"\bAny\b", text):
                return True
    return False


def _types(path: str, tree: ast.Module) -> Iterator[Spot]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield Spot(path, node.lineno, node.name)
    for statement in tree.body:
        if name := _alias(statement):
            yield Spot(path, statement.lineno, name)


def _alias(statement: ast.stmt) -> str:
    """The name of a type alias; empty for another statement.

    Python before 3.12 has no mark for one that everybody uses, so this goes by the form: a name in
    CamelCase for something that is subscripted, joined by `|`, or another such name.
    """
    match statement:
        case ast.AnnAssign(
            target=ast.Name(id=name),
            annotation=ast.Name(id="TypeAlias") | ast.Attribute(attr="TypeAlias"),
        ):
            return name
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if _camel(name):
            return name if _names_type(value) else ""
    # `type Name = ...`, which the oldest Python that runs this does not know.
    if type(statement).__name__ == "TypeAlias":
        target: object = getattr(statement, "name", None)
        return target.id if isinstance(target, ast.Name) else ""
    return ""


def _camel(name: str) -> bool:
    bare = name.lstrip("_")
    return bare[:1].isupper() and not bare.isupper()


def _names_type(value: ast.expr) -> bool:
    match value:
        case ast.Subscript() | ast.BinOp(op=ast.BitOr()):
            return True
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return _camel(name)
        case ast.Call(func=ast.Name(id="NewType" | "NamedTuple" | "TypedDict")):
            return True
    return False


def _identifiers(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every mention of an identifier with its line; in the syntax tree those of f-strings count."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield node.lineno, name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield node.lineno, name
            case ast.ClassDef(name=name) | ast.ExceptHandler(name=str(name)):
                yield node.lineno, name
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield node.lineno, name
            case ast.MatchMapping(rest=str(name)) | ast.keyword(arg=str(name)):
                yield node.lineno, name
            case ast.MatchClass(kwd_attrs=names):
                yield from ((node.lineno, name) for name in names)
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                yield from ((node.lineno, name) for name in names)
            case ast.ImportFrom(module=str(module)):
                yield from ((node.lineno, name) for name in module.split("."))
            case ast.alias(name=name, asname=other):
                yield from ((node.lineno, part) for part in name.split("."))
                if other is not None:
                    yield node.lineno, other


def _docstrings(tree: ast.Module) -> Iterator[tuple[ast.Expr, str]]:
    """Strings that are statements: of modules, classes and functions, and those below fields."""
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield node, text


def read(root: Path, package: str) -> list[SourceFile]:
    """The files of a package, without folders that no import can name (`llama.cpp`)."""
    files = [
        (path.relative_to(root), path.read_text(encoding="utf-8"))
        for path in sorted((root / package).rglob("*.py"))
    ]
    return [
        measure(path.as_posix(), source)
        for path, source in files
        if all(folder.isidentifier() for folder in path.parts[1:-1])
    ]


def defined_again(files: Sequence[SourceFile]) -> dict[str, list[Spot]]:
    """Names of types with two places or more, those with the most first."""
    places: dict[str, list[Spot]] = {}
    for file in files:
        for spot in file.types:
            places.setdefault(spot.text, []).append(spot)
    several = {name: spots for name, spots in places.items() if len(spots) > 1}
    return dict(sorted(several.items(), key=lambda item: (-len(item[1]), item[0])))


def rank(values: Sequence[int], share: float) -> int:
    """The least value that at least `share` of them do not exceed; 0 where there are none."""
    return sorted(values)[ceil(share * len(values)) - 1] if values else 0


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def figures(files: Sequence[SourceFile]) -> dict[str, str]:
    """The rows of the table for these files, with what stands in their cells."""
    functions = [function for file in files for function in file.functions]
    lengths = [function.length for function in functions]
    once = [function for function in functions if function.used_once]
    methods = sum(function.method for function in once)
    names = Counter(
        word for file in files for spot in file.identifiers for word in words_in(spot.text)
    )
    prose = Counter(spot.text for file in files for spot in file.prose)
    commented = sum(file.commented for file in files)
    return {
        "files": str(len(files)),
        "lines": str(sum(file.lines for file in files)),
        "longest file, lines": str(max((file.lines for file in files), default=0)),
        "functions": str(len(functions)),
        "function length, median": str(rank(lengths, 0.5)),
        "function length, p90": str(rank(lengths, 0.9)),
        "function length, most": str(rank(lengths, 1.0)),
        "signatures with Any": percent(sum(f.holds_any for f in functions), len(functions)),
        "private functions used once": percent(len(once), len(functions)),
        "  functions + methods": f"{len(once) - methods} + {methods}",
        "lines with a comment": percent(commented, sum(file.filled for file in files)),
        "type names defined twice": str(len(defined_again(files))),
        **{f'"{word}": names + prose': f"{names[word]} + {prose[word]}" for word in WORDS},
    }


def table(packages: Mapping[str, Sequence[SourceFile]]) -> str:
    """A column for each package and one for all of them."""
    columns = {name: figures(files) for name, files in packages.items()}
    if len(packages) > 1:
        columns["all"] = figures([file for files in packages.values() for file in files])
    rows = ([name, *(column[name] for column in columns.values())] for name in figures([]))
    return grid([["figure", *columns], *rows])


def offenders(files: Sequence[SourceFile]) -> str:
    """What is behind the figures, place by place."""
    functions = [function for file in files for function in file.functions]
    limit = rank([function.length for function in functions], 0.9)
    longest = max(files, key=lambda file: file.lines)
    long = sorted((f for f in functions if f.length > limit), key=lambda f: -f.length)
    blocks = {
        "longest file": [f"{longest.path}: {longest.lines} lines"],
        f"functions of more than {limit} lines": [f"{f.spot}: {f.length} lines" for f in long],
        "signatures with Any": [str(f.spot) for f in functions if f.holds_any],
        "private functions used once": [
            f"{f.spot}{' (method)' if f.method else ''}" for f in functions if f.used_once
        ],
        "type names defined twice": [
            f"{name}: " + ", ".join(f"{spot.path}:{spot.line}" for spot in spots)
            for name, spots in defined_again(files).items()
        ],
        "words in identifiers": [str(spot) for file in files for spot in file.identifiers],
        "words in comments and docstrings": [str(spot) for file in files for spot in file.prose],
    }
    return "\n\n".join(
        "\n".join([f"{title}: {len(lines)}", *(f"  {line}" for line in lines)])
        for title, lines in blocks.items()
    )


def main(arguments: Sequence[str] | None = None) -> int:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m bench.structure", description=__doc__, formatter_class=form
    )
    here = Path(__file__).resolve().parent.parent
    parser.add_argument("root", nargs="?", type=Path, default=here, metavar="ROOT")
    parser.add_argument("packages", nargs="*", metavar="PACKAGE")
    parser.add_argument("--list", action="store_true", help="show what is behind the figures")
    options = parser.parse_args(arguments)
    packages = {name: read(options.root, name) for name in options.packages or PACKAGES}
    if empty := [name for name, files in packages.items() if not files]:
        parser.error(f"there is no package {empty[0]} in {options.root}")
    print(table(packages))
    if options.list:
        print("\n" + offenders([file for files in packages.values() for file in files]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
