"""show: what a model is, as blocks of aligned text or as one of its parts."""

from collections.abc import Sequence

from gateway.cli import formats
from gateway.cli.client import Api
from gateway.cli.console import Console
from gateway.cli.json_fields import (
    JsonMapping,
    integer_field,
    list_field,
    object_field,
    objects_field,
    text_field,
)
from gateway.cli.tables import block
from gateway.errors import Invalid
from gateway.golang.strconv import parameter_size

WRAP_TEXT = 100  # cells: prose in a column of 30 would be hard to read
HEAD_LINES = 2  # of the system text and the licence, which may be pages long


def show_model(model: str, parts: Sequence[str], verbose: bool, console: Console, api: Api) -> None:
    """Print the overview, or the one part of `parts`; raises Invalid for more than one."""
    if len(parts) > 1:
        raise Invalid(
            "only one of '--license', '--modelfile', '--parameters', '--system', "
            "or '--template' can be specified"
        )
    reply = api.show(model, verbose=verbose)
    console.out(part(reply, parts[0]) if parts else overview(reply, verbose=verbose))


def part(reply: JsonMapping, name: str) -> str:
    """One text of the model."""
    text = text_field(reply, name)
    # Ollama adds no newline to these two, so that `show --template > file` is the exact text.
    return text if name in ("system", "template") else f"{text}\n"


def overview(reply: JsonMapping, *, verbose: bool) -> str:
    """All blocks that have something in them."""
    info = object_field(reply, "model_info")
    blocks = [block("Model", model_rows(reply))]
    if names := list_field(reply, "capabilities"):
        blocks.append(block("Capabilities", [[str(name)] for name in names]))
    if projector := object_field(reply, "projector_info"):
        blocks.append(block("Projector", projector_rows(projector)))
    if text := text_field(reply, "parameters").strip():
        blocks.append(block("Parameters", [line.split() for line in text.splitlines()]))
    if verbose and info:
        metadata = [[key, formats.metadata(info[key])] for key in sorted(info)]
        blocks.append(block("Metadata", metadata))
    if verbose and (tensors := objects_field(reply, "tensors")):
        blocks.append(block("Tensors", [tensor_row(tensor) for tensor in tensors]))
    texts = [(title, head(text_field(reply, title.lower()))) for title in ("System", "License")]
    blocks += [block(title, rows, WRAP_TEXT) for title, rows in texts if rows]
    return "".join(blocks)


def model_rows(reply: JsonMapping) -> list[list[str]]:
    info = object_field(reply, "model_info")
    details = object_field(reply, "details")
    architecture = text_field(info, "general.architecture")
    rows = []
    if remote := text_field(reply, "remote_host"):
        rows += [["Remote model", text_field(reply, "remote_model")], ["Remote URL", remote]]
    rows.append(["architecture", architecture or text_field(details, "family")])
    count = integer_field(info, "general.parameter_count")
    size = text_field(details, "parameter_size") or (parameter_size(count) if count else "")
    rows.append(["parameters", size])
    for title in ("context length", "embedding length"):
        value = info.get(f"{architecture}.{title.replace(' ', '_')}")
        if value is not None:
            rows.append([title, formats.scalar(value)])
    rows.append(["quantization", text_field(details, "quantization_level")])
    if requires := text_field(reply, "requires"):
        rows.append(["requires", requires])
    return rows


def projector_rows(info: JsonMapping) -> list[list[str]]:
    architecture = text_field(info, "general.architecture")
    rows = [["architecture", architecture]]
    if count := integer_field(info, "general.parameter_count"):
        rows.append(["parameters", parameter_size(count)])
    for key, title in (
        ("vision.embedding_length", "embedding length"),
        ("vision.projection_dim", "dimensions"),
    ):
        if (value := info.get(f"{architecture}.{key}")) is not None:
            rows.append([title, formats.scalar(value)])
    return rows


def tensor_row(tensor: JsonMapping) -> list[str]:
    shape = " ".join(str(length) for length in list_field(tensor, "shape"))
    return [text_field(tensor, "name"), text_field(tensor, "type"), f"[{shape}]"]


def head(text: str) -> list[list[str]]:
    """The first lines of `text` that are not blank, and dots when there are more."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    rows = [[line] for line in lines[:HEAD_LINES]]
    return [*rows, ["..."]] if len(lines) > HEAD_LINES else rows
