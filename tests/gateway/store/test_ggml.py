"""The tables of the format hang together."""

from gateway.store.ggml import ARRAY, FILE_TYPES, SCALARS, STRING, TENSOR_TYPES


def test_block_sizes_of_known_types() -> None:
    # Bits a weight, as the names promise: a scale of 16 bits to 32 weights adds half a bit.
    bits = {name: 8 * width / elements for name, elements, width in TENSOR_TYPES.values()}
    assert bits["F16"] == 16
    assert bits["Q4_0"] == 4.5
    assert bits["Q8_0"] == 8.5
    assert bits["Q4_K"] == 4.5
    assert bits["Q6_K"] == 6.5625
    assert bits["MXFP4"] == 4.25


def test_names_are_unique() -> None:
    assert len({name for name, _, _ in TENSOR_TYPES.values()}) == len(TENSOR_TYPES)
    assert len(set(FILE_TYPES.values())) == len(FILE_TYPES)
    assert len({name for name, _ in SCALARS.values()}) == len(SCALARS)


def test_strings_and_arrays_are_no_scalars() -> None:
    assert not {STRING, ARRAY} & SCALARS.keys()
