"""Specs and Placements as command lines: whole argument lists, word by word."""

from dataclasses import replace
from pathlib import Path

import pytest

from runners.flags import ALIAS, argv, environment, fit_argv
from runners.spec import Placement, Spec

SOCKET = Path("/r/7.sock")
SPEC = Spec(Path("/m/sha256-aa"), "sha256:aa", size=1000)
HOST = Placement((("CPU", 1100),))
ONE = Placement((("CUDA1", 1000), ("CPU", 100)), ("CUDA1",))
BOTH = Placement((("CUDA0", 500), ("CUDA1", 500), ("CPU", 100)), ("CUDA0", "CUDA1"))
SPLIT = replace(BOTH, fitted=False)

HEAD = [
    *("--model", "/m/sha256-aa", "--alias", ALIAS, "--host", "/r/7.sock", "--offline"),
    *("--no-ui", "--no-slots", "--log-verbosity", "1", "--sse-ping-interval", "-1", "--no-warmup"),
]
CONTEXT = ["--ctx-size", "4096", "--parallel", "1"]
PLAIN = [*CONTEXT, "--context-shift", "--cache-ram", "0", "--flash-attn", "auto"]
ON_HOST = ["--device", "none", "--gpu-layers", "0", "--fit", "off"]


def test_a_plain_spec_on_the_host() -> None:
    assert argv(SPEC, HOST, SOCKET) == [*HEAD, *PLAIN, *ON_HOST]


@pytest.mark.parametrize(
    ("layers", "placement", "flags"),
    [
        (-1, ONE, ["--device", "CUDA1", "--gpu-layers", "999", "--fit", "off"]),
        (20, ONE, ["--device", "CUDA1", "--gpu-layers", "20", "--fit", "off"]),
        (-1, BOTH, ["--device", "CUDA0,CUDA1", "--gpu-layers", "999", "--fit", "off"]),
        (-1, SPLIT, ["--device", "CUDA0,CUDA1", "--fit", "on"]),
        (20, SPLIT, ["--device", "CUDA0,CUDA1", "--gpu-layers", "20", "--fit", "off"]),
        (20, HOST, ON_HOST),
    ],
)
def test_offload_follows_the_placement_and_a_wish_for_layers(
    layers: int, placement: Placement, flags: list[str]
) -> None:
    spec = replace(SPEC, gpu_layers=layers)
    assert argv(spec, placement, SOCKET) == [*HEAD, *PLAIN, *flags]


def test_several_slots_share_one_cache_and_each_may_use_its_whole_context() -> None:
    spec = replace(SPEC, context=2048, parallel=4, prompt_cache=512)
    assert argv(spec, HOST, SOCKET) == [
        *HEAD,
        *("--ctx-size", "8192", "--parallel", "4", "--kv-unified", "--kv-unified-per-slot", "2048"),
        *("--context-shift", "--cache-ram", "512", "--flash-attn", "auto"),
        *ON_HOST,
    ]


def test_compute_options_come_before_offload() -> None:
    spec = replace(SPEC, batch=256, cache_type="q8_0", threads=6, flash_attention="on", mmap=False)
    assert argv(spec, HOST, SOCKET) == [
        *HEAD,
        *(*CONTEXT, "--context-shift", "--cache-ram", "0", "--flash-attn", "on"),
        *("--batch-size", "256", "--ubatch-size", "256"),
        *("--cache-type-k", "q8_0", "--cache-type-v", "q8_0", "--threads", "6"),
        *(*ON_HOST, "--load-mode", "none"),
    ]


def test_mapping_can_be_requested() -> None:
    assert argv(replace(SPEC, mmap=True), HOST, SOCKET)[-2:] == ["--load-mode", "mmap"]


def test_without_context_shift_nothing_is_kept() -> None:
    spec = replace(SPEC, context_shift=False)
    expected = [*HEAD, *CONTEXT, "--cache-ram", "0", "--flash-attn", "auto", *ON_HOST]
    assert argv(spec, HOST, SOCKET) == expected


def test_an_embedding_model_never_shifts() -> None:
    spec = replace(SPEC, embedding=True, context=512, batch=512)
    assert argv(spec, HOST, SOCKET) == [
        *HEAD,
        *("--ctx-size", "512", "--parallel", "1", "--cache-ram", "0", "--flash-attn", "auto"),
        *("--batch-size", "512", "--ubatch-size", "512"),
        *(*ON_HOST, "--embedding"),
    ]


def test_a_model_that_ranks_has_a_flag_for_it_instead() -> None:
    spec = replace(SPEC, embedding=True, ranking=True)
    assert argv(spec, HOST, SOCKET)[-1] == "--reranking"
    assert "--embedding" not in argv(spec, HOST, SOCKET)


def test_projector_and_adapters_come_last() -> None:
    spec = replace(SPEC, projector=Path("/m/p"), adapters=(Path("/m/l1"), Path("/m/l2")))
    extras = ["--mmproj", "/m/p", "--lora", "/m/l1", "--lora", "/m/l2"]
    assert argv(spec, HOST, SOCKET) == [*HEAD, *PLAIN, *ON_HOST, *extras]


def test_the_alias_is_a_single_unmistakable_word() -> None:
    assert "," not in ALIAS
    assert len(ALIAS) > 40


def test_measuring_offloads_everything_and_prints() -> None:
    spec = replace(SPEC, context=2048, parallel=2, cache_type="q8_0", batch=128)
    assert fit_argv(spec) == [
        *("--model", "/m/sha256-aa", "--ctx-size", "4096", "--parallel", "2"),
        *("--flash-attn", "auto", "--batch-size", "128", "--ubatch-size", "128"),
        *("--cache-type-k", "q8_0", "--cache-type-v", "q8_0"),
        *("--gpu-layers", "999", "--fit-print", "on"),
    ]
    assert fit_argv(replace(SPEC, gpu_layers=7))[-4:] == ["--gpu-layers", "7", "--fit-print", "on"]


def test_the_environment_hides_secrets_and_keeps_what_drivers_need() -> None:
    seen = environment(
        {
            "PATH": "/bin",
            "HOME": "/home/u",
            "LC_ALL": "C",
            "LD_LIBRARY_PATH": "/lib",
            "CUDA_VISIBLE_DEVICES": "1",
            "HSA_OVERRIDE_GFX_VERSION": "10",
            "OMP_NUM_THREADS": "3",
            "OPENAI_API_KEY": "secret",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "OLLAMA_HOST": "0.0.0.0",
            "LLAMA_API_KEY": "secret",
            "LLAMA_ARG_MODEL": "/else",
            "SSH_AUTH_SOCK": "/s",
        }
    )
    assert seen == {
        "PATH": "/bin",
        "HOME": "/home/u",
        "LC_ALL": "C",
        "LD_LIBRARY_PATH": "/lib",
        "CUDA_VISIBLE_DEVICES": "1",
        "HSA_OVERRIDE_GFX_VERSION": "10",
        "OMP_NUM_THREADS": "3",
        "GOMP_SPINCOUNT": "300",
        "KMP_BLOCKTIME": "0",
        "LLAMA_SERVER_ROUTER_PORT": "0",
    }


def test_the_operators_spin_settings_win() -> None:
    seen = environment({"GOMP_SPINCOUNT": "7", "LLAMA_SERVER_ROUTER_PORT": "99"})
    assert seen["GOMP_SPINCOUNT"] == "7"
    assert seen["LLAMA_SERVER_ROUTER_PORT"] == "0"
