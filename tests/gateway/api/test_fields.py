"""Request classes as tables: what a body becomes, and what is refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import pytest

from gateway.api.fields import (
    NumberKind,
    ObjectKind,
    OpenRequestTable,
    PlainKind,
    PlainType,
    RequestField,
    RequestTable,
    json_field,
)
from gateway.errors import Invalid
from gateway.golang.json_decode import BOOL, INT, STRING, ListOf


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    model: str = json_field(STRING, "required", default="")
    stream: bool = json_field(BOOL, "events", default=True)
    count: int | None = json_field(INT, name="n", default=None)
    labels: Mapping[str, str] = json_field(STRING, default_factory=dict, refused=True)
    seen: bool = False
    """Not in the body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong:
    model: str = json_field(PlainKind("string", "string"), default="")
    options: Mapping[str, object] = json_field(
        PlainKind("object", "openai.Options", {"usage": PlainKind("boolean", "bool")}),
        default_factory=dict,
        passed_on=True,
    )
    n: int = json_field(PlainKind("integer"), default=1)
    extra: Mapping[str, object]


PING = RequestTable(Ping, "Ping")
PONG = OpenRequestTable(Pong, "Pong")


def refusal(table: RequestTable[Ping] | OpenRequestTable[Pong], data: bytes) -> str:
    with pytest.raises(Invalid) as caught:
        table.decode(data)
    return caught.value.message


@pytest.mark.parametrize(
    ("data", "request_"),
    [
        (b"{}", Ping()),
        (b"null", Ping()),
        (b'{"model":"m","stream":false,"n":3}', Ping(model="m", stream=False, count=3)),
        (b'{"model":null,"stream":null,"n":null}', Ping()),
        (b'{"MODEL":"m","unknown":5,"seen":true}', Ping(model="m")),
    ],
)
def test_a_body_becomes_an_instance(data: bytes, request_: Ping) -> None:
    assert PING.decode(data) == request_


def test_a_mismatch_has_gos_words() -> None:
    assert refusal(PING, b"[]") == ("json: cannot unmarshal array into Go value of type api.Ping")
    assert refusal(PING, b'{"n":"3"}') == (
        "json: cannot unmarshal string into Go struct field Ping.n of type int"
    )


def test_the_table_has_the_fields_by_their_names_in_json() -> None:
    assert list(PING.fields) == ["model", "stream", "n", "labels"]
    assert PING.fields["model"] == RequestField("model", STRING, "required")
    assert PING.fields["labels"].refused


def test_what_an_open_table_does_not_name_is_extra() -> None:
    data = b'{"model":"m","MODEL":1,"top_k":5,"options":{"usage":true,"x":1},"n":2,"none":null}'
    options = {"usage": True, "x": 1}
    extra = {"MODEL": 1, "top_k": 5, "options": options}
    assert PONG.decode(data) == Pong(model="m", options=options, n=2, extra=extra)
    assert PONG.decode(b"null") == Pong(extra={})
    assert PONG.decode(b'{"model":"m"} trailing') == Pong(model="m", extra={})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"5", "json: cannot unmarshal number into Go value of type openai.Pong"),
        (b"x", "invalid character 'x' looking for beginning of value"),
        (
            b'{"model":5,"n":"x"}',
            "json: cannot unmarshal number into Go struct field Pong.model of type string",
        ),
        (b'{"n":"x","model":5}', "'n' must be an integer"),
        (
            b'{"options":{"usage":"x"}}',
            "json: cannot unmarshal string into Go struct field Pong.options.usage of type bool",
        ),
    ],
)
def test_the_first_mismatch_of_the_body_is_reported(data: bytes, words: str) -> None:
    assert refusal(PONG, data) == words


@pytest.mark.parametrize(
    ("name", "right", "wrong", "words"),
    [
        ("boolean", [True], [1, "x"], "a boolean"),
        ("integer", [1, 2.0, -(2**63)], [True, 1.5, "1", 2**63, float("inf")], "an integer"),
        ("number", [1, 0.5], [False, "1"], "a number"),
        ("string", [""], [5, []], "a string"),
        ("object", [{}], [[], "x"], "an object"),
        ("array", [[]], [{}, "x"], "an array"),
        ("any", [0, "", [], {}], [], ""),
    ],
)
def test_a_plain_kind_checks_the_type_alone(
    name: PlainType, right: list[object], wrong: list[object], words: str
) -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Holder:
        value: object = json_field(PlainKind(name), default=None)
        extra: Mapping[str, object]

    table = OpenRequestTable(Holder, "Holder")
    for value in right:
        assert table.read({"value": value}).value == value
    for value in wrong:
        with pytest.raises(Invalid, match=f"^'value' must be {words}$"):
            table.read({"value": value})


@dataclass(frozen=True, slots=True, kw_only=True)
class Peng:
    heat: float | None = json_field(NumberKind(), default=None)
    tools: Sequence[object] = json_field(ListOf(ObjectKind("peng.Tool")), default=())
    unused: ClassVar[object] = json_field(ObjectKind("peng.Unused"), "without effect", default=None)
    unknown: tuple[str, ...] = ()


PENG = RequestTable(Peng, "Peng", go="peng.Peng", unknown="unknown")


@pytest.mark.parametrize(
    ("data", "request_"),
    [
        (b'{"heat":1,"tools":[{"a":1.5},null]}', Peng(heat=1, tools=[{"a": 1.5}, {}])),
        (b'{"HEAT":0.5}', Peng(heat=0.5)),
        (b'{"b":1,"unused":{},"a":null}', Peng(unknown=("b", "a"))),
    ],
)
def test_objects_numbers_and_unknown_fields(data: bytes, request_: Peng) -> None:
    assert PENG.decode(data) == request_


@pytest.mark.parametrize(
    ("data", "mismatch"),
    [
        (b'{"heat":true}', "bool into Go struct field Peng.heat of type float64"),
        (b'{"heat":1e999}', "number 1e999 into Go struct field Peng.heat of type float64"),
        (b'{"tools":{}}', "object into Go struct field Peng.tools of type []peng.Tool"),
        (b'{"tools":[1]}', "number into Go struct field Peng.tools of type peng.Tool"),
        (b'{"unused":1}', "number into Go struct field Peng.unused of type peng.Unused"),
        (b"[]", "array into Go value of type peng.Peng"),
    ],
)
def test_objects_and_numbers_of_another_type(data: bytes, mismatch: str) -> None:
    with pytest.raises(Invalid) as caught:
        PENG.decode(data)
    assert caught.value.message == f"json: cannot unmarshal {mismatch}"


def test_a_field_without_effect_is_in_the_table_and_not_in_the_request() -> None:
    assert PENG.fields["unused"].doc == "without effect"
    assert "unused" not in Peng.__slots__
