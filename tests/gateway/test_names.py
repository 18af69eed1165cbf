"""Names are read, printed and refused as Ollama's clients expect."""

from pathlib import PurePosixPath

import pytest

from gateway.errors import Forbidden, Invalid
from gateway.names import CLOUD_DETAILS, Name, from_parts, parse, resolve, stored

DEFAULT = "registry.ollama.ai/library"


@pytest.mark.parametrize(
    ("text", "full", "short"),
    [
        ("llama3", f"{DEFAULT}/llama3:latest", "llama3:latest"),
        ("llama3:8b", f"{DEFAULT}/llama3:8b", "llama3:8b"),
        ("Llama3:8B", f"{DEFAULT}/Llama3:8B", "Llama3:8B"),
        ("a/b", "registry.ollama.ai/a/b:latest", "a/b:latest"),
        ("a/b:c", "registry.ollama.ai/a/b:c", "a/b:c"),
        ("h/n/m", "h/n/m:latest", "h/n/m:latest"),
        ("h/n/m:t", "h/n/m:t", "h/n/m:t"),
        ("localhost:5000/n/m", "localhost:5000/n/m:latest", "localhost:5000/n/m:latest"),
        ("host:5000:6000/n/m", "host:5000:6000/n/m:latest", "host:5000:6000/n/m:latest"),
        ("http://h:5000/n/m:t", "h:5000/n/m:t", "h:5000/n/m:t"),
        ("https://registry.ollama.ai/library/m", f"{DEFAULT}/m:latest", "m:latest"),
        ("_n/m", "registry.ollama.ai/_n/m:latest", "_n/m:latest"),
        ("m..n", f"{DEFAULT}/m..n:latest", "m..n:latest"),
        ("m:t.", f"{DEFAULT}/m:t.", "m:t."),
        ("hf.co/u/M-GGUF:Q4_K_M", "hf.co/u/M-GGUF:Q4_K_M", "hf.co/u/M-GGUF:Q4_K_M"),
        ("C:/x/y", "C:/x/y:latest", "C:/x/y:latest"),
        ("gpt-oss:20b-cloud", f"{DEFAULT}/gpt-oss:20b-cloud", "gpt-oss:20b-cloud"),
        ("REGISTRY.OLLAMA.AI/LIBRARY/M:T", "REGISTRY.OLLAMA.AI/LIBRARY/M:T", "M:T"),
        ("h/library/m", "h/library/m:latest", "h/library/m:latest"),
        ("m" * 80, f"{DEFAULT}/{'m' * 80}:latest", f"{'m' * 80}:latest"),
        (f"{'h' * 350}/n/m", f"{'h' * 350}/n/m:latest", f"{'h' * 350}/n/m:latest"),
    ],
)
def test_a_valid_name_is_defaulted_and_printed(text: str, full: str, short: str) -> None:
    name = parse(text)
    assert (name.full, name.short) == (full, short)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", " llama3", "llama3 ", "llama3:", ":8b", "m:t:u", "a:b/c", "x/h/n/m:t"),
        *("localhost:5000/m", "[::1]:5000/n/m", "http://n/m", "http://m", "s://a/b/c/d:e"),
        *("m@sha256:abc", "n.x/m", "-n/m", ".m", "..", "m:.t", "m:-t", "m:t/u", "/m", "//m"),
        *("n//m", "/n/m", "/", "//", "h/n/", "h/n/:t", "n/m:", "modelé", "m:té", "m\n", "a\0b"),
        *("m" * 81, f"m:{'t' * 81}", f"{'h' * 351}/n/m", "m+x", "m%41", "C:\\x", "./m.gguf"),
    ],
)
def test_a_malformed_name_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match=r"^invalid model name$"):
        parse(text)


def test_the_path_of_a_name_keeps_its_case() -> None:
    assert parse("Foo/Bar:V1").path == PurePosixPath("registry.ollama.ai/Foo/Bar/V1")


@pytest.mark.parametrize(
    ("text", "short"),
    [
        (" m ", "m:latest"),
        ("m:local", "m:latest"),
        ("m:LOCAL", "m:latest"),
        ("m:8b: local", "m:8b"),
        ("m-cloud", "m-cloud:latest"),
        ("cloud", "cloud:latest"),
        ("localhost:5000/n/m:local", "localhost:5000/n/m:latest"),
    ],
)
def test_resolve_takes_blanks_and_the_local_suffix_off(text: str, short: str) -> None:
    assert resolve(text).short == short


@pytest.mark.parametrize("text", ["m:cloud", "m: CLOUD", "m:8b:cloud", "m:8b-cloud", "m:-cloud"])
def test_resolve_refuses_the_cloud(text: str) -> None:
    with pytest.raises(Forbidden, match=r"^ollama cloud is disabled: remote model is unavailable$"):
        resolve(text)


def test_the_refusal_of_the_cloud_can_be_worded_by_the_caller() -> None:
    with pytest.raises(Forbidden, match="remote model details are unavailable"):
        resolve("m:cloud", refusal=CLOUD_DETAILS)


@pytest.mark.parametrize("text", ["m:cloud:local", "m:8b-cloud:local", "m:cloud:cloud"])
def test_two_sources_at_once_are_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        resolve(text)
    assert caught.value.message == f'use either :local or :cloud, not both: "{text}"'


@pytest.mark.parametrize("text", ["", "  ", "\t"])
def test_a_blank_reference_names_no_model(text: str) -> None:
    with pytest.raises(Invalid, match=r"^model is required$"):
        resolve(text)


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("m", "m:latest"),
        ("m:local", "m:latest"),
        ("m:cloud", "m:cloud"),
        ("m:CLOUD", "m:cloud"),
        ("m:8b:cloud", "m:8b-cloud"),
        ("m:8b-cloud", "m:8b-cloud"),
        ("localhost:5000/n/m:cloud", "localhost:5000/n/m:cloud"),
    ],
)
def test_in_the_store_a_cloud_reference_is_a_tag(text: str, short: str) -> None:
    assert stored(text).short == short


def test_from_parts_checks_every_part() -> None:
    assert from_parts("h", "n", "m", "t") == Name("h", "n", "m", "t")
    assert from_parts("h", "n.x", "m", "t") is None
    assert from_parts("h", "n", "m", ".DS_Store") is None
