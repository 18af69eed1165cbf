"""The pin that the repository holds."""

from runners.build.pin import read_pin


def test_the_pin_names_the_archive_by_its_bytes_and_the_tools_by_their_versions() -> None:
    pin = read_pin()
    assert (pin.name, pin.version, pin.size) == ("llama-cpp-python", "0.3.36", 76589250)
    assert pin.sha256 == "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
    assert [tool.split("==")[0] for tool in pin.tools] == ["cmake", "ninja"]
