"""show: the overview byte for byte, its parts, its blocks."""

import pytest

from gateway.cli.show import head, overview
from tests.gateway.cli.conftest import Cli, ScriptedServer

INFO = {
    "general.architecture": "llama",
    "general.parameter_count": 944256,
    "llama.context_length": 2048,
    "llama.embedding_length": 384,
    "llama.rope.freq_base": 10000.0,
    "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>"],
}
ANSWER: dict[str, object] = {
    "license": "MIT\n",
    "modelfile": "FROM x\n",
    "parameters": 'stop                           "<|im end|>"\nseed                           7',
    "template": "{{ .Prompt }}",
    "system": "\n You are terse. \n\nBe kind.\nBe brief.",
    "details": {"family": "llama", "parameter_size": "944K", "quantization_level": "F16"},
    "model_info": INFO,
    "tensors": [{"name": "blk.0.attn_k.weight", "type": "F16", "shape": [384, 64]}],
    "capabilities": ["completion", "thinking"],
}
PLAIN = """\
  Model
    architecture        llama    \n\
    parameters          944K     \n\
    context length      2048     \n\
    embedding length    384      \n\
    quantization        F16      \n\

  Capabilities
    completion    \n\
    thinking      \n\

  Parameters
    stop    "<|im    end|>"    \n\
    seed    7        \n\

  System
    You are terse.    \n\
    Be kind.          \n\
    ...               \n\

  License
    MIT    \n\

"""


def test_the_overview() -> None:
    assert overview(ANSWER, verbose=False) == PLAIN


def test_the_verbose_overview_adds_metadata_and_tensors() -> None:
    rows = [
        ("general.architecture", "llama"),
        ("general.parameter_count", "944256"),
        ("llama.context_length", "2048"),
        ("llama.embedding_length", "384"),
        ("llama.rope.freq_base", "10000"),
        ("tokenizer.ggml.tokens", "[<unk> ...+2 more]"),
    ]
    extra = "  Metadata\n" + "".join(f"    {key:<23}    {value:<18}    \n" for key, value in rows)
    extra += "\n  Tensors\n    blk.0.attn_k.weight    F16    [384 64]    \n\n"
    before, after = PLAIN.split("  System")
    assert overview(ANSWER, verbose=True) == f"{before}{extra}  System{after}"


def test_little_is_known_of_a_bare_model() -> None:
    bare = {"details": {"family": "bert", "quantization_level": "F32"}}
    assert overview(bare, verbose=True) == (
        "  Model\n"
        "    architecture    bert    \n"
        "    parameters              \n"
        "    quantization    F32     \n"
        "\n"
    )


def test_a_remote_model_says_where_it_is_and_the_count_is_formatted() -> None:
    answer = {
        "remote_model": "big",
        "remote_host": "https://example.org",
        "requires": "0.14.0",
        "model_info": {"general.architecture": "qwen3", "general.parameter_count": 7_600_000_000},
    }
    lines = overview(answer, verbose=False).splitlines()
    assert [line.split(maxsplit=1) for line in lines[1:-1]] == [
        ["Remote", "model    big                    "],
        ["Remote", "URL      https://example.org    "],
        ["architecture", "qwen3                  "],
        ["parameters", "7.6B                   "],
        ["quantization"],
        ["requires", "0.14.0                 "],
    ]


def test_a_projector_has_its_block() -> None:
    answer = {
        "projector_info": {
            "general.architecture": "clip",
            "general.parameter_count": 133_700_000,
            "clip.vision.embedding_length": 1024,
            "clip.vision.projection_dim": 768,
        }
    }
    text = overview(answer, verbose=False)
    assert text[text.index("  Projector") :] == (
        "  Projector\n"
        "    architecture        clip       \n"
        "    parameters          133.70M    \n"
        "    embedding length    1024       \n"
        "    dimensions          768        \n"
        "\n"
    )


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("", []),
        ("\n \n", []),
        ("a\n\n  b  \n", [["a"], ["b"]]),
        ("a\nb\nc", [["a"], ["b"], ["..."]]),
    ],
)
def test_the_head_of_a_text(text: str, rows: list[list[str]]) -> None:
    assert head(text) == rows


@pytest.mark.parametrize(
    ("flag", "out"),
    [
        ("--license", "MIT\n\n"),
        ("--modelfile", "FROM x\n\n"),
        ("--parameters", f"{ANSWER['parameters']}\n"),
        ("--system", ANSWER["system"]),
        ("--template", "{{ .Prompt }}"),
    ],
)
def test_one_part_is_printed_alone(cli: Cli, server: ScriptedServer, flag: str, out: str) -> None:
    server.reply("POST", "/api/show", ANSWER)
    outcome = cli("show", "m", flag)
    assert (outcome.code, outcome.out) == (0, out)


@pytest.mark.parametrize("verbose", [False, True])
def test_only_verbose_requests_all_metadata(
    cli: Cli, server: ScriptedServer, verbose: bool
) -> None:
    server.reply("POST", "/api/show", ANSWER)
    outcome = cli("show", "m", *(["-v"] if verbose else []))
    assert outcome.out == overview(ANSWER, verbose=verbose)
    assert server.last("/api/show") == {"model": "m", "verbose": verbose}


def test_two_parts_at_once_are_refused(cli: Cli) -> None:
    outcome = cli("show", "m", "--license", "--system")
    assert (outcome.code, outcome.err) == (
        1,
        "Error: only one of '--license', '--modelfile', '--parameters', '--system', "
        "or '--template' can be specified\n",
    )


def test_a_missing_model_is_named(cli: Cli, server: ScriptedServer) -> None:
    server.reply("POST", "/api/show", {"error": "model 'm:latest' not found"}, status=404)
    outcome = cli("show", "m")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == "Error: model 'm:latest' not found\n"
