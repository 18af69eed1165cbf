"""Exit statuses and last words, as llama.cpp prints them, and what is made of them."""

import pytest

from runners.diagnose import cause_of, ending, explain, last_words
from runners.errors import Cause

UNKNOWN_ARCHITECTURE = """\
0.00.004.215 E llama_model_load: error loading model: unknown model architecture: 'llamx'
0.00.004.220 E llama_model_load_from_file_impl: failed to load model
0.00.004.301 E cmn  common_init_fr: failed to load model '/m/blobs/sha256-12'
0.00.004.411 E srv    load_model: failed to load model, '/m/blobs/sha256-12'
0.00.004.415 E srv   llama_server: exiting due to model loading error"""
NO_FILE = """\
0.00.002.100 E gguf_init_from_file: failed to open GGUF file '/x' (No such file or directory)
0.00.002.120 E llama_model_load: error loading model: llama_model_loader: no model in /x
0.00.002.204 E srv   llama_server: exiting due to model loading error"""
NOT_GGUF = """\
0.00.001.001 E gguf_init_from_file_ptr: invalid magic characters: 'NOPE', expected 'GGUF'
0.00.001.010 E llama_model_load: error loading model: llama_model_loader: failed to load model
0.00.001.104 E srv   llama_server: exiting due to model loading error"""
CUT_SHORT = (
    "0.00.010.000 E llama_model_load: error loading model: tensor 'blk.0.attn_output.weight' data "
    "is not within the file bounds, model is corrupted or incomplete"
)
HOST_MEMORY = """\
0.00.100.000 E ggml_aligned_malloc: insufficient memory (attempted to allocate 585937.50 MB)
0.00.100.010 E ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 614400000000
0.00.100.020 E llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache
0.00.100.030 E srv    load_model: failed to create_context with model '/m'"""  # noqa: E501
CUDA_MEMORY = """\
ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9000.00 MiB on device 0: cudaMalloc failed: out of memory
alloc_tensor_range: failed to allocate CUDA0 buffer of size 9437184000
llama_model_load: error loading model: unable to allocate CUDA0 buffer"""  # noqa: E501
COMPUTE_BUFFERS = (
    "0.00.500.000 E llama_init_from_model: failed to initialize the context: "
    "failed to allocate compute pp buffers"
)
VULKAN_MEMORY = (
    "ggml_vulkan: Device memory allocation of size 1073741824 failed.\n"
    "ggml_vulkan: vk::Device::allocateMemory: ErrorOutOfDeviceMemory"
)
BAD_FLAG = "error: invalid argument: --no-mmap"
ASSERTION = """\
/src/ggml/src/ggml.c:1234: GGML_ASSERT(a->ne[2] == b->ne[0]) failed
[New LWP 4711]
#0  0x00007f in wait4 () from /lib/libc.so.6
#1  0x00007f in ggml_abort () from libggml-base.so"""
CUDA_ERROR = """\
ROCm error: invalid device function
  current device: 0, in function ggml_cuda_compute_forward at ggml-cuda.cu:2400"""
BUSY_SOCKET = (
    "0.00.001.500 E srv         start: couldn't bind HTTP server socket, hostname: /r/1.sock"
)


@pytest.mark.parametrize(
    ("exit_code", "tail", "cause"),
    [
        (1, UNKNOWN_ARCHITECTURE, Cause.UNSUPPORTED),
        (1, "E load: error loading model: unknown pre-tokenizer type: 'x'", Cause.UNSUPPORTED),
        (1, NO_FILE, Cause.MISSING),
        (1, NOT_GGUF, Cause.CORRUPT),
        (1, CUT_SHORT, Cause.CORRUPT),
        (1, "E load: error loading model: missing tensor 'output.weight'", Cause.CORRUPT),
        (1, "done_getting_tensors: wrong number of tensors; expected 12, got 11", Cause.CORRUPT),
        (1, "key not found in model: llama.context_length", Cause.CORRUPT),
        (1, HOST_MEMORY, Cause.MEMORY),
        (1, CUDA_MEMORY, Cause.MEMORY),
        (1, COMPUTE_BUFFERS, Cause.MEMORY),
        (-6, VULKAN_MEMORY, Cause.MEMORY),
        (1, BAD_FLAG, Cause.FLAG),
        (-6, ASSERTION, Cause.CRASH),
        (-6, CUDA_ERROR, Cause.CRASH),
        (-9, "", Cause.CRASH),
        (1, BUSY_SOCKET, Cause.CRASH),
        (-4, "", Cause.ILLEGAL),
        (-4, UNKNOWN_ARCHITECTURE, Cause.ILLEGAL),
        (None, HOST_MEMORY, Cause.MEMORY),
    ],
)  # fmt: skip
def test_a_cause_is_derived_from_status_and_last_words(
    exit_code: int | None, tail: str, cause: Cause
) -> None:
    assert cause_of(exit_code, tail) is cause


@pytest.mark.parametrize(
    ("tail", "words"),
    [
        (
            UNKNOWN_ARCHITECTURE,
            "llama_model_load: error loading model: unknown model architecture: 'llamx'",
        ),
        (
            NO_FILE,
            "gguf_init_from_file: failed to open GGUF file '/x' (No such file or directory)",
        ),
        (
            HOST_MEMORY,
            "ggml_aligned_malloc: insufficient memory (attempted to allocate 585937.50 MB)",
        ),
        (BAD_FLAG, BAD_FLAG),
        (
            ASSERTION,
            "ggml.c:1234: GGML_ASSERT(a->ne[2] == b->ne[0]) failed",
        ),
        ("", ""),
        ("\n \n", ""),
        ("only this\nand that", "and that"),
        ("an error here\nand then\nnothing more", "an error here"),
        ("0.01.002.003 I srv  something failed\n0.01.002.004 I more", "something failed"),
    ],
)
def test_the_most_telling_line_is_quoted_without_its_prefix(tail: str, words: str) -> None:
    assert last_words(tail) == words


def test_echoes_of_an_error_are_passed_over() -> None:
    tail = (
        "E load: error loading hyperparameters\n"
        "E llama_model_load_from_file_impl: failed to load model\n"
        "E srv  llama_server: exiting due to model loading error"
    )
    assert last_words(tail) == "load: error loading hyperparameters"


def test_warnings_are_no_reason_to_end() -> None:
    without_gpu = (
        "warning: no usable GPU found, --gpu-layers option will be ignored\n"
        "warning: one possible reason is that llama.cpp was compiled without GPU support\n"
        "warning: consult docs/build.md for compilation instructions"
    )
    assert last_words(without_gpu) == ""
    assert last_words(f"{without_gpu}\n{UNKNOWN_ARCHITECTURE}").endswith("'llamx'")


def test_a_long_line_is_cut() -> None:
    assert last_words("error " + "x" * 1000, limit=20) == "error xxxxxxxxxxxxxx"


@pytest.mark.parametrize(
    ("exit_code", "words"),
    [
        (0, "exit status 0"),
        (1, "exit status 1"),
        (-9, "signal SIGKILL"),
        (-6, "signal SIGABRT"),
        (-250, "signal 250"),
        (None, "no exit status"),
    ],
)
def test_an_ending_is_named(exit_code: int | None, words: str) -> None:
    assert ending(exit_code) == words


def test_an_explanation_has_the_ending_and_the_words() -> None:
    assert explain(1, BAD_FLAG) == "exit status 1: error: invalid argument: --no-mmap"
    assert explain(-9, "") == "signal SIGKILL"


def test_of_a_path_only_the_files_name_is_shown() -> None:
    line = "srv    load_model: failed to create_context with model '/home/me/blobs/sha256-0a'"
    assert last_words(line) == "load_model: failed to create_context with model 'sha256-0a'"
    assert last_words("failed at 1/2 of https://x/y") == "failed at 1/2 of https://x/y"


def test_what_a_debugger_misses_is_no_missing_file() -> None:
    tail = "terminate called: abort\n../sysdeps/wait4.c: No such file or directory"
    assert (cause_of(-6, tail), last_words(tail)) == (Cause.CRASH, "terminate called: abort")
