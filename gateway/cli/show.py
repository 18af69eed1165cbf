"""show: what a model is, as blocks of aligned text or as one of its parts."""

from collections.abc import Mapping
from typing import Any

from gateway.cli import formats
from gateway.cli.client import Api, Reply
from gateway.cli.console import Console
from gateway.cli.flags import Arguments
from gateway.cli.tables import block
from gateway.errors import Invalid
from gateway.golang.strconv import parameter_size

PARTS = ("license", "modelfile", "parameters", "system", "template")
WRAP_TEXT = 100
HEAD = 2  # lines of a long text that are shown


def show(arguments: Arguments, console: Console, api: Api) -> int:
    """Print the overview, or the one part asked for."""
    chosen = [part for part in PARTS if arguments.on(part)]
    if len(chosen) > 1:
        names = ", ".join(f"'--{part}'" for part in PARTS[:-1])
        raise Invalid(f"only one of {names}, or '--{PARTS[-1]}' can be specified")
    (model,) = arguments.words
    verbose = arguments.on("verbose")
    answer = api.show(model, verbose=verbose)
    console.out(part(answer, chosen[0]) if chosen else overview(answer, verbose=verbose))
    return 0


def part(answer: Reply, name: str) -> str:
    """One text of the model. System and template come without a newline of ours."""
    text = str(answer.get(name) or "")
    return text if name in ("system", "template") else f"{text}\n"


def overview(answer: Reply, *, verbose: bool) -> str:
    """All blocks that have something in them."""
    blocks = [block("Model", _model(answer))]
    if names := answer.get("capabilities"):
        blocks.append(block("Capabilities", [[str(name)] for name in names]))
    if info := answer.get("projector_info"):
        blocks.append(block("Projector", _projector(info)))
    if text := str(answer.get("parameters") or "").strip():
        blocks.append(block("Parameters", [line.split() for line in text.splitlines()]))
    if verbose and (info := answer.get("model_info")):
        rows = [[key, formats.metadata(info[key])] for key in sorted(info)]
        blocks.append(block("Metadata", rows))
    if verbose and (tensors := answer.get("tensors")):
        blocks.append(block("Tensors", [_tensor(item) for item in tensors]))
    texts = [(title, head(str(answer.get(title.lower()) or ""))) for title in ("System", "License")]
    blocks += [block(title, rows, WRAP_TEXT) for title, rows in texts if rows]
    return "".join(blocks)


def _model(answer: Reply) -> list[list[str]]:
    info = answer.get("model_info") or {}
    details = answer.get("details") or {}
    rows = []
    if remote := answer.get("remote_host"):
        rows += [["Remote model", str(answer.get("remote_model", ""))], ["Remote URL", str(remote)]]
    rows.append(["architecture", _architecture(info) or str(details.get("family", ""))])
    count = info.get("general.parameter_count")
    size = details.get("parameter_size") or (parameter_size(count) if count else "")
    rows.append(["parameters", str(size)])
    rows += _lengths(info, ("context length", "embedding length"))
    rows.append(["quantization", str(details.get("quantization_level", ""))])
    if requires := answer.get("requires"):
        rows.append(["requires", str(requires)])
    return rows


def _projector(info: Mapping[str, Any]) -> list[list[str]]:
    architecture = _architecture(info)
    count = info.get("general.parameter_count")
    rows = [["architecture", architecture]]
    if count:
        rows.append(["parameters", parameter_size(count)])
    for key, title in (
        ("vision.embedding_length", "embedding length"),
        ("vision.projection_dim", "dimensions"),
    ):
        if (value := info.get(f"{architecture}.{key}")) is not None:
            rows.append([title, formats.scalar(value)])
    return rows


def _lengths(info: Mapping[str, Any], titles: tuple[str, ...]) -> list[list[str]]:
    """The rows of `<architecture>.<title>` that the metadata has."""
    found = ((title, _own(info, title.replace(" ", "_"))) for title in titles)
    return [[title, formats.scalar(value)] for title, value in found if value is not None]


def _own(info: Mapping[str, Any], key: str) -> Any:
    return info.get(f"{_architecture(info)}.{key}")


def _architecture(info: Mapping[str, Any]) -> str:
    return str(info.get("general.architecture", ""))


def _tensor(item: Mapping[str, Any]) -> list[str]:
    shape = " ".join(str(length) for length in item.get("shape") or [])
    return [str(item.get("name", "")), str(item.get("type", "")), f"[{shape}]"]


def head(text: str) -> list[list[str]]:
    """The first lines of `text` that are not blank, and dots when there are more."""
    found = [line.strip() for line in text.splitlines() if line.strip()]
    rows = [[line] for line in found[:HEAD]]
    return [*rows, ["..."]] if len(found) > HEAD else rows
