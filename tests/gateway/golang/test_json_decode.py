"""Bodies against a schema, and the errors for those that do not fit."""

import base64
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Invalid
from gateway.golang.json_decode import (
    ANY,
    BOOL,
    IMAGES,
    INT,
    MAP,
    MAP_STRING,
    STRING,
    Custom,
    ListOf,
    MapOf,
    Own,
    Struct,
    decode,
    unmarshal_error,
)
from gateway.golang.json_syntax import MAX_DEPTH


def even(value: Any) -> int:
    """A decoder of its own, which knows only even integers."""
    if type(value) is not int or value % 2:
        raise Invalid("odd")
    return value


INNER = Struct("Inner", {"deep": BOOL, "words": ListOf(STRING)})
OUTER = Struct(
    "Outer",
    {
        "text": STRING,
        "flag": BOOL,
        "count": INT,
        "any": ANY,
        "map": MAP,
        "words": MAP_STRING,
        "numbers": ListOf(INT),
        "images": IMAGES,
        "even": Custom(even),
        "inner": INNER,
        "own": Own(INNER),
        "owns": ListOf(Own(INNER)),
        "object": Own(MAP, "not an object"),
        "named": ListOf(INNER, "api.Inners"),
        "inners": MapOf(INNER),
        "moreText": STRING,
    },
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**63), max_value=2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
FREE = {"any": JSON, "map": st.dictionaries(st.text(), JSON), "text": st.text(), "unknown": JSON}
FITTING = st.fixed_dictionaries(
    {},
    optional={
        **FREE,
        "flag": st.booleans(),
        "count": st.integers(min_value=-(2**63), max_value=2**63 - 1),
        "words": st.dictionaries(st.text(), st.text()),
        "numbers": st.lists(st.integers(min_value=-(2**63), max_value=2**63 - 1)),
        "images": st.lists(st.binary().map(lambda data: base64.b64encode(data).decode())),
        "even": st.integers(min_value=-100, max_value=100).map(lambda number: number * 2),
        "inner": st.fixed_dictionaries({}, optional={"deep": st.booleans()}),
        "object": st.dictionaries(st.text(), JSON),
    },
)


def read(value: Any) -> dict[str, Any]:
    return decode(orjson.dumps(value), OUTER)


def error(data: bytes) -> str:
    with pytest.raises(Invalid) as caught:
        decode(data, OUTER)
    return caught.value.message


def outcome(data: bytes) -> str:
    """The object read, members in order, or the refusal."""
    try:
        return orjson.dumps(decode(data, OUTER)).decode()
    except Invalid as refusal:
        return refusal.message


@given(FITTING)
def test_a_fitting_body_comes_back_without_nulls_and_unknown_members(body: dict[str, Any]) -> None:
    expected = {key: item for key, item in body.items() if key != "unknown" and item is not None}
    assert read(body) == expected


@given(st.dictionaries(st.sampled_from([*FREE, "flag", "COUNT", "Inner", "owns"]), JSON))
def test_the_second_look_agrees_with_the_glance(body: dict[str, Any]) -> None:
    data = orjson.dumps(body)
    assert outcome(data) == outcome(data + b" trailing")


@given(
    st.binary()
    | st.text(alphabet='{}[]",:\\ud8 textcoun1e.').map(str.encode)
    | st.dictionaries(st.sampled_from(["text", "any", "images", "own"]), JSON).map(orjson.dumps)
)
def test_any_bytes_give_an_object_or_invalid(data: bytes) -> None:
    assert outcome(data)


def test_members_come_in_the_order_of_the_schema() -> None:
    assert list(read({"count": 1, "moreText": "b", "flag": True, "text": "a"})) == [
        "text",
        "flag",
        "count",
        "moreText",
    ]


@pytest.mark.parametrize("data", [b"null", b" null ", b"nullx", b"{}", b'{"text":null}'])
def test_null_is_an_empty_object(data: bytes) -> None:
    assert decode(data, OUTER) == {}


@pytest.mark.parametrize(
    ("data", "members"),
    [
        (b'{"TEXT":"a","MoreText":"b","moretext":"c"}', {"text": "a", "moreText": "c"}),
        (b'{"text":"a","TEXT":"b","text":"c"}', {"text": "c"}),
        (b'{"text":"a","TEXT":"b"}', {"text": "b"}),
        (b'{"TEXT":"a","text":"b"}', {"text": "b"}),
        (b'{"text":"a","text":"b"}', {"text": "b"}),
        (b'{"text":5,"text":"b"}', {"text": "b"}),
        (b'{"map":{"A":1,"a":2}}', {"map": {"A": 1, "a": 2}}),
    ],
)
def test_names_match_in_any_case_and_the_last_one_wins(
    data: bytes, members: dict[str, Any]
) -> None:
    assert decode(data, OUTER) == members


@pytest.mark.parametrize(
    ("data", "members"),
    [
        (b'{"text":"a"} trailing', {"text": "a"}),
        (b'{"text":"a"}{"text":"b"}', {"text": "a"}),
        (b'{"text":"\\ud800"}', {"text": "\ufffd"}),
        (b'{"text":"\xff"}', {"text": "\ufffd"}),
        (b'{"any":[1,1.5,-0,1e2]} x', {"any": [1, 1.5, 0, 100.0]}),
        (b'{"count":-0}', {"count": 0}),
    ],
)
def test_what_go_tolerates_is_read(data: bytes, members: dict[str, Any]) -> None:
    assert decode(data, OUTER) == members


def test_a_null_inside_a_list_or_map_is_an_empty_value() -> None:
    body = {
        "numbers": [None, 1],
        "words": {"a": None},
        "images": [None],
        "owns": [None],
        "inners": {"a": None},
        "inner": {"words": [None]},
        "any": [None],
    }
    assert read(body) == {
        "numbers": [0, 1],
        "words": {"a": ""},
        "images": [""],
        "owns": [{}],
        "inners": {"a": {}},
        "inner": {"words": [""]},
        "any": [None],
    }


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"[]", "array"),
        (b'"x"', "string"),
        (b"5", "number"),
        (b"true", "bool"),
        (b"1.5e3", "number"),
    ],
)
def test_a_body_of_another_kind_is_refused(data: bytes, kind: str) -> None:
    assert error(data) == f"json: cannot unmarshal {kind} into Go value of type api.Outer"


@pytest.mark.parametrize(
    ("data", "kind", "path", "wanted"),
    [
        (b'{"text":5}', "number", "Outer.text", "string"),
        (b'{"text":["a"]}', "array", "Outer.text", "string"),
        (b'{"TEXT":{}}', "object", "Outer.text", "string"),
        (b'{"flag":"yes"}', "string", "Outer.flag", "bool"),
        (b'{"flag":1}', "number", "Outer.flag", "bool"),
        (b'{"count":"1"}', "string", "Outer.count", "int"),
        (b'{"count":true}', "bool", "Outer.count", "int"),
        (b'{"count":1.0}', "number 1.0", "Outer.count", "int"),
        (b'{"count":1.5}', "number 1.5", "Outer.count", "int"),
        (b'{"count":1e2}', "number 1e2", "Outer.count", "int"),
        (
            b'{"count":9223372036854775808}',
            "number 9223372036854775808",
            "Outer.count",
            "int",
        ),
        (b'{"count":' + b"9" * 5000 + b"}", "number " + "9" * 5000, "Outer.count", "int"),
        (b'{"any":1e400}', "number 1e400", "Outer.any", "float64"),
        (b'{"map":{"a":[-1e400]}}', "number -1e400", "Outer.map", "float64"),
        (b'{"map":"x"}', "string", "Outer.map", "map[string]interface {}"),
        (b'{"words":[]}', "array", "Outer.words", "map[string]string"),
        (b'{"words":{"a":5}}', "number", "Outer.words", "string"),
        (b'{"numbers":"x"}', "string", "Outer.numbers", "[]int"),
        (b'{"numbers":[1,"x"]}', "string", "Outer.numbers", "int"),
        (b'{"images":"x"}', "string", "Outer.images", "[]api.ImageData"),
        (b'{"images":[5]}', "number", "Outer.images", "api.ImageData"),
        (b'{"inner":5}', "number", "Outer.inner", "api.Inner"),
        (b'{"inner":{"deep":1}}', "number", "Inner.inner.deep", "bool"),
        (b'{"inner":{"words":[1]}}', "number", "Inner.inner.words", "string"),
        (b'{"own":{"deep":1}}', "number", "Outer.own.deep", "bool"),
        (b'{"own":[]}', "array", "Outer.own", "api.Inner"),
        (b'{"owns":[5]}', "number", "Outer.owns", "api.Inner"),
        (b'{"owns":[{},{"words":"x"}]}', "string", "Outer.owns.words", "[]string"),
        (b'{"named":{}}', "object", "Outer.named", "api.Inners"),
        (b'{"inners":{"a":{"deep":{}}}}', "object", "Inner.inners.deep", "bool"),
        (b'{"inners":[]}', "array", "Outer.inners", "map[string]api.Inner"),
    ],
)
def test_a_member_of_another_kind_is_refused(
    data: bytes, kind: str, path: str, wanted: str
) -> None:
    assert (
        error(data) == f"json: cannot unmarshal {kind} into Go struct field {path} of type {wanted}"
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"even":3}', "odd"),
        (b'{"even":"2"}', "odd"),
        (b'{"object":"{}"}', "not an object"),
        (b'{"object":[]}', "not an object"),
        (b'{"object":5}', "not an object"),
    ],
)
def test_a_decoder_of_its_own_has_its_own_words(data: bytes, message: str) -> None:
    assert error(data) == message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"text":5,"flag":6}', "field Outer.text of"),
        (b'{"flag":6,"text":5}', "field Outer.flag of"),
        (b'{"text":5,"even":3}', "odd"),
        (b'{"text":5,"own":{"deep":1},"even":3}', "field Outer.own.deep of"),
        (b'{"text":5,"object":[],"even":3}', "not an object"),
        (b'{"images":["%"],"text":5}', "illegal base64"),
        (b'{"text":5,"images":["%"]}', "field Outer.text of"),
        (b'{"text":5,"even":3,}', "invalid character '}'"),
        (b'{"even":3', "unexpected EOF"),
    ],
)
def test_syntax_errors_go_first_then_decoders_of_their_own_then_the_rest(
    data: bytes, message: str
) -> None:
    assert message in error(data)


@pytest.mark.parametrize(
    ("text", "kept"),
    [("", ""), ("aGk=", "aGk="), ("aG==", "aG=="), ("aG\r\nk=\n", "aGk="), ("\n", "")],
)
def test_images_stay_in_base64_without_line_breaks(text: str, kept: str) -> None:
    assert read({"images": [text]}) == {"images": [kept]}


@pytest.mark.parametrize(
    ("text", "byte"),
    [
        ("%%%", 0),
        ("data:image/png;base64,aGk=", 4),
        ("a", 0),
        ("aGk", 0),
        ("aGkaGk=a", 6),
        ("=", 0),
        ("a===", 1),
        ("aG=", 3),
        ("aG=k", 2),
        ("aG=\n=", None),
        ("aG=\n", 4),
        ("aGk=aGk=", 4),
        ("aGk=\nx", 5),
        ("aGk=\n\n", None),
        ("aG\nk", 1),
        ("aG==a", 4),
        ("aG-_", 2),
        ("aGk\u00e9", 3),
    ],
)
def test_an_image_that_is_not_base64_is_refused_where_go_stops(text: str, byte: int | None) -> None:
    if byte is None:
        assert read({"images": [text]}) == {"images": [text.replace("\n", "")]}
    else:
        assert error(orjson.dumps({"images": [text]})) == (
            f"illegal base64 data at input byte {byte}"
        )


@given(st.text(alphabet="aG=\n\r%", max_size=12))
def test_an_image_is_kept_only_if_it_decodes(text: str) -> None:
    try:
        [kept] = read({"images": [text]})["images"]
    except Invalid:
        kept = ""
    assert len(base64.b64decode(kept, validate=True)) == len(kept) * 3 // 4 - kept.count("=")


@pytest.mark.parametrize("more", [1, 20, 2_000])
def test_deep_nesting_is_refused_whatever_the_fast_parser_takes(more: int) -> None:
    opening, closing = b"[" * (MAX_DEPTH - 1), b"]" * (MAX_DEPTH - 1)
    fits = b'{"any":' + opening + closing + b"}"
    assert "any" in decode(fits, OUTER)
    deeper = b'{"any":' + b"[" * more + opening + closing + b"]" * more + b"}"
    assert error(deeper) == "invalid character '[' exceeded max depth"


def test_many_flat_values_are_not_deep() -> None:
    body: dict[str, Any] = {"any": [[] for _ in range(MAX_DEPTH * 2)]}
    assert read(body) == body


@pytest.mark.parametrize(
    ("value", "kind"),
    [("x", "string"), (True, "bool"), ([], "array"), ({}, "object"), (1.5, "number")],
)
def test_an_unmarshal_error_names_the_kind_of_json(value: object, kind: str) -> None:
    assert unmarshal_error(value, "api.T") == (
        f"json: cannot unmarshal {kind} into Go value of type api.T"
    )


def test_an_unmarshal_error_may_name_the_field_and_the_number() -> None:
    assert unmarshal_error(1.5, "int", field="A.b", exact=True) == (
        "json: cannot unmarshal number 1.5 into Go struct field A.b of type int"
    )
