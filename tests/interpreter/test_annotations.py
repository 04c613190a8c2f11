"""What annotations mean, whichever way a function became a step or a workflow: what they mean to Python where it is defined.

This module's annotations are text; `PLAIN` is a module whose are not.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any, List  # noqa: UP035 - its forward references are kept by typing

import attrs
import pytest

from redrive.codec import JsonCodec
from redrive_interpreter import CodecError, Flow, Step, StepId, step, workflow
from redrive_interpreter.commands.steps import StepSpec

PLAIN = types.ModuleType("plain")
SOURCE = """
def bodies(kind):
    def plain(value: kind) -> kind:
        return value
    def listed(value: list[kind]) -> kind:
        return value[0]
    return {"plain": plain, "listed": listed}
"""
exec(compile(SOURCE, "plain.py", "exec", dont_inherit=True), PLAIN.__dict__)


def own(kind: Any) -> Callable[..., Any]:
    def body(value: kind) -> kind:
        return value

    return body


def types_of(spec: StepSpec) -> tuple[Any, Any]:
    return spec.signature.parameter("value"), spec.signature.returns


def decorated(kind: Any) -> StepSpec:
    @step("read")
    def body(value: kind) -> kind:
        return value

    return body.spec


def by_position(kind: Any) -> StepSpec:
    def body(value: kind) -> kind:
        return value

    return Step("read", body, 1).spec


def by_keyword(kind: Any) -> StepSpec:
    def body(value: kind) -> kind:
        return value

    return Step("read", body, value=1).spec


def typed(kind: Any) -> StepSpec:
    def body(value: kind) -> kind:
        return value

    return Step(StepId("read", kind), body, 1).spec


def with_options(kind: Any) -> StepSpec:
    def body(value: kind) -> kind:
        return value

    return Step("read", body, 1).options(key="k").spec


def with_a_default(kind: Any) -> StepSpec:
    def body(value: kind, more: int = 1) -> kind:
        return value

    return Step("read", body, 1).spec


def partial(kind: Any) -> StepSpec:
    def body(more: int, value: kind) -> kind:
        return value

    return Step("read", functools.partial(body, 1), 1).spec


def wrapped(kind: Any) -> StepSpec:
    def body(value: kind) -> kind:
        return value

    @functools.wraps(body)
    def outside(*args: Any, **kwargs: Any) -> Any:
        return body(*args, **kwargs)

    return Step("read", outside, 1).spec


def called(kind: Any) -> StepSpec:
    class Reader:
        def __call__(self, value: kind) -> kind:
            return value

    return Step("read", Reader(), 1).spec


def method(kind: Any) -> StepSpec:
    class Reader:
        def read(self, value: kind) -> kind:
            return value

    return Step("read", Reader().read, 1).spec


def of_the_class(kind: Any) -> StepSpec:
    class Reader:
        inner = kind

        def read(self, value: inner) -> inner:  # type: ignore[valid-type]
            return value

    return Step("read", Reader().read, 1).spec


def static(kind: Any) -> StepSpec:
    class Reader:
        inner = kind

        @staticmethod
        @step("read")
        def read(value: inner) -> inner:  # type: ignore[valid-type]
            return value

    return Reader.read.spec


def handed_on(kind: Any) -> StepSpec:
    def body(value: kind) -> kind:
        return value

    def build() -> StepSpec:
        return Step("read", body, 1).spec

    return build()


def known_beside(kind: Any) -> StepSpec:
    """The function that made both is over; the one beside knows the name."""

    def parts() -> Callable[[], StepSpec]:
        local = kind

        def body(value: local) -> local:
            return value

        def build() -> StepSpec:
            assert local is kind
            return Step("read", body, 1).spec

        return build

    return parts()()


def closed_over(kind: Any) -> StepSpec:
    def body(value: kind) -> kind:
        assert kind is not None
        return value

    return elsewhere(body)


def elsewhere(body: Callable[..., Any]) -> StepSpec:
    kind = bytes
    assert kind is not None
    return Step("read", body, 1).spec


def undoing(kind: Any) -> StepSpec:
    def body(value: kind) -> kind:
        return value

    undo = Step("do", own, 1).options(undo=body).spec.undo_step(1)
    assert undo is not None
    return undo.spec


def undoing_decorated(kind: Any) -> StepSpec:
    def body(value: kind) -> kind:
        return value

    @step("do", undo=body)
    def do() -> Any: ...

    undo = do.spec.undo_step(1)
    assert undo is not None
    return undo.spec


def in_a_workflow(kind: Any) -> StepSpec:
    def body(value: kind) -> kind:
        return value

    def part() -> Flow[Any]:
        return (yield from Step("read", body, 1))

    return next(part()).spec  # type: ignore[attr-defined,no-any-return]


def without_text(kind: Any) -> StepSpec:
    return Step("read", PLAIN.bodies(kind)["plain"], 1).spec


SPELLINGS = [
    decorated,
    by_position,
    by_keyword,
    typed,
    with_options,
    with_a_default,
    partial,
    wrapped,
    called,
    method,
    of_the_class,
    static,
    handed_on,
    known_beside,
    closed_over,
    undoing,
    undoing_decorated,
    in_a_workflow,
    without_text,
]


@pytest.mark.parametrize("spelling", SPELLINGS, ids=lambda spelling: spelling.__name__)
def test_functions_made_by_one_def_have_the_types_that_each_was_made_with(spelling: Callable[[Any], StepSpec]) -> None:
    @attrs.frozen
    class Card:
        number: str

    for kind in (int, str, Card, list[Card], int):
        assert types_of(spelling(kind)) == (kind, kind)


def test_text_inside_of_annotations_means_what_it_means_to_each_function() -> None:
    for kind in (int, str):
        bodies = PLAIN.bodies(kind)
        assert Step("read", bodies["listed"], []).spec.signature.parameter("value") == list[kind]  # type: ignore[valid-type]

        def late(value: list[kind]) -> list[kind]:  # type: ignore[valid-type]
            return value

        assert types_of(Step("read", late, []).spec) == (list[kind], list[kind])  # type: ignore[valid-type]


def test_a_name_of_the_caller_does_not_take_the_place_of_one_of_the_module() -> None:
    Order = bytes
    assert Order is bytes
    assert Step("read", of_the_module, 1).spec.signature.parameter("order") is globals()["Order"]


@attrs.frozen
class Order:
    id: str


def of_the_module(order: Order) -> None: ...


def test_a_workflow_has_the_types_that_it_was_made_with() -> None:
    def made(kind: Any) -> Any:
        def run(value: kind) -> Flow[kind]:
            yield from ()
            return value

        return workflow("w")(run), workflow("p")(functools.partial(run))

    for kind in (int, str):
        for flow in made(kind):
            assert (flow.signature.parameter("value"), flow.result_type) == (kind, kind)


def test_the_same_function_built_again_is_read_once() -> None:
    def build() -> StepSpec:
        def body(value: Order) -> Order:
            return value

        return Step("read", body, 1).spec

    assert build().signature is build().signature


def test_a_name_that_came_to_mean_something_else_is_looked_up_again() -> None:
    def build() -> StepSpec:
        return Step("read", of_later, 1).spec

    try:
        for kind in (int, str):
            globals()["Later"] = kind
            assert build().signature.parameter("value") is kind
    finally:
        del globals()["Later"]
    with pytest.raises(CodecError, match="Later"):
        build().signature.parameter("value")


def of_later(value: Later) -> None: ...  # type: ignore[name-defined] # noqa: F821


def test_a_type_defined_after_its_function_is_found_beside_those_defined_before() -> None:
    class Card: ...

    @step("read")
    def read(value: Card, other: Later) -> None: ...  # type: ignore[name-defined] # noqa: F821

    globals()["Later"] = int
    try:
        assert read.spec.signature.parameter("value") is Card
        assert read.spec.signature.parameter("other") is int
    finally:
        del globals()["Later"]


def test_a_forward_reference_that_another_module_resolved_is_not_taken_over() -> None:
    def use(value: List["Order"]) -> None: ...  # noqa: UP006, UP037

    assert Step("use", use, []).spec.signature.parameter("value") == List[Order]  # noqa: UP006
    with pytest.raises(CodecError, match="cannot be resolved"):
        JsonCodec().dump([], List["Order"], "elsewhere")  # noqa: UP006


def test_fields_of_a_local_class_may_name_what_is_local_too() -> None:
    @attrs.frozen
    class Order:  # not the module's
        number: int

    @attrs.frozen
    class Box:
        orders: list[Order]
        inner: Box | None = None

    @attrs.frozen
    class Crate(Box):
        boxes: tuple[Box, ...] = ()

    @step("pack")
    def pack(crate: Crate) -> Crate:
        return crate

    value = Crate([Order(1)], Box([Order(2)]), (Box([]),))
    codec = JsonCodec()
    for spec in (pack.spec, Step("pack", pack.body, value).spec):
        data = codec.dump_call(spec.signature, (value,), {}, "pack")
        assert codec.load_call(spec.signature, data, "pack") == ((value,), {})
