"""What push mounts, and what a manifest says it is. Whole pushes are in test_transfers.py."""

import pytest

from gateway import names
from gateway.registry.push import media_type, mountable

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json"


@pytest.mark.parametrize(
    ("origin", "repository"),
    [
        ("h:1/other/base:latest", "other/base"),
        ("H:1/other/base:latest", "other/base"),
        ("llama3:latest", ""),
        ("h:1/ns/m:older", ""),
        ("mmproj file.gguf", ""),
        ("", ""),
    ],
)
def test_only_repositories_of_the_same_registry_are_mounted(origin: str, repository: str) -> None:
    assert mountable(origin, names.parse("h:1/ns/m")) == repository


def test_models_of_the_default_registry_are_named_without_it() -> None:
    assert mountable("llama3:latest", names.parse("me/m")) == "library/llama3"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b'{"mediaType":"%s"}' % OCI.encode(), OCI),
        (b'{"mediaType":""}', DOCKER),
        (b'{"mediaType":5}', DOCKER),
        (b"{}", DOCKER),
        (b"[]", DOCKER),
    ],
)
def test_a_manifest_says_what_it_is(data: bytes, kind: str) -> None:
    assert media_type(data) == kind
