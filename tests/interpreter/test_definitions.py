"""``@step`` and ``@workflow``: what they make of functions, and what they refuse."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import attrs
import pytest

from redrive_interpreter import (
    CodecError,
    Flow,
    InvalidDefinition,
    InvalidDuration,
    InvalidId,
    Invocation,
    ReservedId,
    Retry,
    Signal,
    Sleep,
    Step,
    StepFunction,
    StepId,
    Workflow,
    WorkflowMisuse,
    inject,
    step,
    workflow,
)
from redrive_interpreter.commands.command import performing

T = TypeVar("T")


@attrs.frozen
class Order:
    id: str


@attrs.frozen
class Charge:
    id: str


class Payments: ...


@step
def refund(charge: Charge) -> None: ...


@step
async def charge(order: Order) -> Charge:
    """Charge the card."""
    return Charge(order.id)


@workflow
def process_order(order: Order) -> Flow[Charge]:
    return (yield from charge(order))


# ── steps ───────────────────────────────────────────────────────────────────────────────────────
def test_calling_a_step_builds_it_and_runs_nothing() -> None:
    ran: list[str] = []

    @step
    def log(line: str) -> None:
        ran.append(line)

    made = log("x")
    assert isinstance(made, Step)
    assert (made.step_id, made.args, made.kwargs, made.fn) == ("log", ("x",), {}, log.body)
    assert ran == []


def test_a_step_keeps_its_body_name_and_docstring() -> None:
    assert charge.body.__name__ == charge.__name__ == "charge"
    assert charge.__doc__ == "Charge the card."
    assert repr(charge) == "<step 'charge'>"


def test_a_step_is_named_after_its_function_or_as_it_is_told() -> None:
    assert charge.step_id == "charge"
    assert step("payments.charge")(charge.body).step_id == "payments.charge"


def test_options_of_a_step_are_kept_normalised() -> None:
    class Declined(Exception): ...

    @step(undo=refund, retry=Retry(3), timeout=5, heartbeat=timedelta(seconds=1), key="once", raises=[Declined], at_most_once=True)
    def pay(order: Order) -> Charge: ...

    spec = pay.spec
    assert spec.undo is refund
    assert (spec.undo_id, spec.retry, spec.timeout, spec.heartbeat) == ("refund", (Retry(3),), timedelta(seconds=5), timedelta(seconds=1))
    assert (spec.key, spec.raises, spec.at_most_once) == ("once", (Declined,), True)


def test_the_result_type_is_the_annotation_or_what_it_awaits() -> None:
    @step
    def later() -> Awaitable[int]: ...

    @step
    def running() -> Coroutine[Any, Any, str]: ...

    @step
    def unsaid(): ...

    assert charge.spec.result_type is Charge
    assert later.spec.result_type is int
    assert running.spec.result_type is str
    assert unsaid.spec.result_type is Any
    assert refund.spec.result_type is type(None)


def test_types_local_to_a_function_are_found() -> None:
    @attrs.frozen
    class Local: ...

    @step
    def make() -> Local:
        return Local()

    @step("named")
    def name() -> Local:
        return Local()

    @workflow("local")
    def run() -> Flow[Local]:
        return (yield from make())

    assert make.spec.result_type is name.spec.result_type is run.result_type is Local


def test_types_defined_later_are_found_at_first_use() -> None:
    assert early.spec.result_type is Late


@step
def early() -> Late:
    return Late()


class Late: ...


def test_a_type_that_cannot_be_found_is_a_codec_error_that_names_the_step() -> None:
    @step
    def lost() -> Nowhere: ...  # noqa: F821

    with pytest.raises(CodecError, match=r"step lost.*Nowhere"):
        lost.spec.result_type


def test_a_wrapped_function_keeps_its_signature() -> None:
    def traced(fn: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(fn)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return fn(*args, **kwargs)

        return wrapper

    made = step(traced(charge.body))
    assert made.step_id == "charge"
    assert made.spec.result_type is Charge
    assert made(order=Order("o")) == charge(Order("o"))


@pytest.mark.parametrize(
    "call", [lambda: charge(), lambda: charge(Order("o"), 1), lambda: charge(total=1), lambda: charge(Order("o"), order=1)]
)
def test_a_call_that_does_not_fit_is_refused_where_it_is_made(call: Callable[[], object]) -> None:
    with pytest.raises(InvalidDefinition, match="step charge"):
        call()
    with pytest.raises(TypeError):
        call()


def test_keywords_are_moved_into_positions_so_that_equal_calls_are_equal() -> None:
    @step
    def move(a: int, b: int = 2, *, c: int = 3) -> None: ...

    assert move(1, b=5) == move(1, 5) == move(b=5, a=1)
    assert move(1, c=4).kwargs == {"c": 4}
    assert move(1) != move(1, 2)
    assert move(b=5, c=1, a=1).args == (1, 5)


def test_names_that_the_library_uses_are_free_for_parameters() -> None:
    @step
    def odd(id: int, fn: int, self: int, args: int, kwargs: int, text: int) -> None: ...

    assert odd(id=1, fn=2, self=3, args=4, kwargs=5, text=6).args == (1, 2, 3, 4, 5, 6)


def test_positional_only_and_variadic_parameters_bind() -> None:
    @step
    def mixed(a: int, /, *rest: int, **named: int) -> None: ...

    assert mixed(1, 2, 3, a=4, b=5).args == (1, 2, 3)
    assert mixed(1, a=4).kwargs == {"a": 4}
    with pytest.raises(InvalidDefinition):
        mixed(a=1)


def test_an_injected_parameter_cannot_be_passed() -> None:
    @step
    def pay(order: Order, *, payments: Payments = inject()) -> None: ...

    @step
    def also(order: Order, payments: Payments = inject()) -> None: ...

    assert pay.spec.injected == also.spec.injected == {"payments"}
    assert pay(Order("o")).args == (Order("o"),)
    for call in (
        lambda: pay(Order("o"), payments=Payments()),
        lambda: also(Order("o"), Payments()),
        lambda: also(Order("o"), payments=Payments()),
    ):
        with pytest.raises(InvalidDefinition, match="injected"):
            call()
    with pytest.raises(InvalidDefinition, match="missing a required argument: 'order'"):
        pay()


def test_an_injected_parameter_stands_last() -> None:
    with pytest.raises(InvalidDefinition, match="comes after an injected parameter"):

        @step
        def pay(payments: Payments = inject(), total: int = 1) -> None: ...


def test_options_give_a_changed_copy_of_the_same_step() -> None:
    plain = charge(Order("o"))
    made = plain.options(id="again", retry=Retry(2), timeout=3, undo=refund, key="k-1")
    assert isinstance(made, Step)
    assert (made.step_id, made.spec.id, made.args) == ("again", "again", plain.args)
    assert (made.spec.retry, made.spec.timeout, made.spec.undo_id, made.spec.key) == ((Retry(2),), timedelta(seconds=3), "refund", "k-1")
    assert plain == charge(Order("o")) != made
    assert charge.spec.retry == ()
    assert made.options(timeout=4).spec.retry == (Retry(2),)


def test_an_undo_is_a_step_a_ready_step_or_a_named_function() -> None:
    def give_back(charge: Charge) -> None: ...

    made = charge(Order("o"))
    by_step, ready, plain = made.options(undo=refund), made.options(undo=refund(Charge("c"))), made.options(undo=give_back)
    assert by_step.spec.undo_step(Charge("c")) == ready.spec.undo_step("anything") == refund(Charge("c"))
    assert plain.spec.undo_step(Charge("c")) == Step("give_back", give_back, Charge("c"))
    assert made.spec.undo_step(Charge("c")) is None
    for nameless in (lambda charge: None, 5):
        with pytest.raises(InvalidDefinition, match="undo"):
            made.options(undo=nameless)


def test_a_raw_step_takes_any_callable() -> None:
    class Shop:
        def price(self, order: Order) -> int:
            return 1

    shop = Shop()
    assert Step("price", shop.price, Order("o")).spec.result_type is int
    assert Step("quick", lambda: 1).spec.result_type is Any
    assert Step("part", functools.partial(charge.body, Order("o"))).args == ()
    assert Step("class", Charge, "c").spec.result_type is Charge
    assert Step("len", len, "abc").args == ("abc",)
    assert Step(StepId("charge", int | None), lambda: None).spec.result_type == int | None
    with pytest.raises(InvalidDefinition, match="missing a required argument"):
        Step("price", shop.price)
    with pytest.raises(InvalidDefinition, match="cannot be called"):
        Step("five", 5)


def test_what_no_attempt_can_run_is_no_body() -> None:
    def generator() -> Iterator[int]:
        yield 1

    for body, message in ((charge, "is a step already"), (process_order, "or a workflow"), (generator, "generator function")):
        with pytest.raises(InvalidDefinition, match=message):
            Step("body", body)
    for undo, message in ((process_order, "or a workflow"), (generator, "generator function")):
        with pytest.raises(InvalidDefinition, match=message):
            charge(Order("o")).options(undo=undo)


def test_raw_steps_are_equal_by_id_and_arguments_whatever_their_function() -> None:
    assert Step("quote", lambda: 1) == Step("quote", lambda: 2)
    assert Step("charge", charge.body, order=Order("o")) == charge(Order("o"))
    assert hash(Step("sum", sum, [1])) == hash(Step("sum", sum, [2]))


def test_the_signature_of_a_raw_step_is_read_once_for_one_piece_of_code() -> None:
    def quote(amount: int) -> Step[int]:
        return Step("quote", lambda: amount)

    assert quote(1).spec.signature is quote(2).spec.signature


@pytest.mark.parametrize(
    ("id", "error"),
    [("__x", ReservedId), ("rollback:x", ReservedId), ("", InvalidId), ("a\0b", InvalidId), ("ä" * 128, InvalidId), (5, InvalidId)],
)
def test_an_id_that_no_history_can_hold_is_refused(id: Any, error: type[Exception]) -> None:
    for build in (
        lambda: Step(id, len, "x"),
        lambda: StepId(id, int),
        lambda: charge(Order("o")).options(id=id),
        lambda: Sleep(1).options(id=id),
        lambda: Signal(id, int),
        lambda: Workflow(id),
    ):
        with pytest.raises(error):
            build()


@pytest.mark.parametrize("id", ["a/b#2%", "Straße", "'; drop table steps --", "../x", "\ud800", "ä" * 127, " "])
def test_any_other_text_is_an_id(id: str) -> None:
    assert Step(id, len, "x").step_id == id


def test_bad_options_are_refused_where_they_are_written() -> None:
    decorate: Any = step
    for options, error in (
        ({"retry": 3}, InvalidDefinition),
        ({"retry": (Retry(2), 3)}, InvalidDefinition),
        ({"timeout": 0}, InvalidDuration),
        ({"timeout": float("nan")}, InvalidDuration),
        ({"heartbeat": -1}, InvalidDuration),
        ({"raises": [ValueError("x")]}, InvalidDefinition),
        ({"raises": [int]}, InvalidDefinition),
        ({"undo": lambda charge: None}, InvalidDefinition),
    ):
        with pytest.raises(error, match="step charge"):
            decorate(**options)(charge.body)
    with pytest.raises(TypeError):
        decorate(retries=3)(charge.body)


def test_methods_are_refused_and_static_ones_are_not() -> None:
    with pytest.raises(InvalidDefinition, match=r"is a method.*inject\(\)"):

        class Shop:
            @step
            def charge(self, order: Order) -> None: ...

    with pytest.raises((InvalidDefinition, RuntimeError)):

        class Odd:
            @step
            def charge(this, order: Order) -> None: ...

    with pytest.raises(InvalidDefinition, match="put @staticmethod above"):

        class Wrong:
            @step
            @staticmethod
            def charge(order: Order) -> None: ...

    class Right:
        label = charge  # a step from elsewhere is no method

        @staticmethod
        @step
        def charge(order: Order) -> None: ...

    assert Right.charge(Order("o")) == Right().charge(Order("o")) == Right.label(Order("o"))


def test_functions_that_cannot_be_steps_are_refused() -> None:
    def generator() -> Iterator[int]:
        yield 1

    async def stream() -> AsyncIterator[int]:
        yield 1

    def first(values: Sequence[T]) -> T:
        return values[0]

    def several(values: Sequence[T]) -> list[T]:
        return list(values)

    for fn, message in (
        (generator, "generator function"),
        (stream, "generator function"),
        (first, "is generic"),
        (several, "is generic"),
        (charge, "is a step already"),
        (lambda: None, "has no name"),
        (functools.partial(first), "has no name"),
        (5, "cannot be called"),
    ):
        with pytest.raises(InvalidDefinition, match=message):
            step(fn)


# ── workflows ───────────────────────────────────────────────────────────────────────────────────
def test_calling_a_workflow_builds_an_invocation() -> None:
    made = process_order(Order("o"))
    assert isinstance(made, Invocation)
    assert (made.workflow, made.args, made.kwargs) == (process_order, (Order("o"),), {})
    assert made == process_order(order=Order("o")) != process_order(Order("p"))
    assert repr(made) == "process_order(Order(id='o'))"
    assert {made: 1}[process_order(Order("o"))] == 1
    with pytest.raises(InvalidDefinition, match="workflow process_order"):
        process_order()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        made.args = ()


def test_yielding_an_invocation_yields_itself() -> None:
    made = process_order(Order("o"))
    assert next(iter(made)) is made


def test_a_workflow_is_named_by_its_qualified_name_or_as_it_is_told() -> None:
    assert process_order.name == "process_order"
    assert workflow("orders.process")(process_order.fn).name == "orders.process"


def test_a_workflow_tells_its_result_type() -> None:
    @workflow("untyped")
    def untyped():
        yield Sleep(1)

    assert process_order.result_type is Charge
    assert untyped.result_type is Any
    assert Workflow("elsewhere", returns=str).result_type is str
    assert Workflow("elsewhere").result_type is Any
    assert Workflow("elsewhere", returns=None).result_type is type(None)


def test_a_workflow_by_name_takes_any_arguments_and_has_no_code() -> None:
    remote = Workflow("process_order", returns=Charge)
    assert remote.fn is None
    assert remote(1, two=2).args == (1,)
    assert remote == process_order
    assert hash(remote) == hash(process_order)


def test_a_call_bound_by_name_only_finds_its_parameters_later() -> None:
    @workflow("several")
    def several(a: int, b: int = 2, *rest: int, c: int = 3) -> Flow[None]:
        yield from ()

    remote = Workflow("several")
    for made in (remote(1), remote(1, 5, c=4), remote(1, 2, 3, 4), remote(b=2, a=1)):
        bound = remote.signature.bind(made.args, made.kwargs)
        args, kwargs = several.signature.call(several.signature.spread(bound))
        assert several(*args, **kwargs) == several(*made.args, **made.kwargs)


def test_options_of_a_workflow_are_kept_normalised() -> None:
    approved = Signal("approved", str)

    @workflow("all", on_failure="rollback", on_cancel="rollback", raises=[ValueError], signals=[approved], timeout=60)
    def full() -> Flow[None]:
        yield from ()

    assert (full.on_failure, full.on_cancel, full.raises, full.signals) == ("rollback", "rollback", (ValueError,), (approved,))
    assert full.timeout == timedelta(minutes=1)
    assert process_order.signals is None
    for options, error in (
        ({"on_failure": "retry"}, InvalidDefinition),
        ({"timeout": -1}, InvalidDuration),
        ({"raises": [5]}, InvalidDefinition),
    ):
        with pytest.raises(error, match="workflow broken"):
            workflow("broken", **options)(full.fn)


def test_a_workflow_local_to_a_function_needs_a_name() -> None:
    with pytest.raises(InvalidDefinition, match="give it a name"):

        @workflow
        def local() -> Flow[None]:
            yield from ()


def test_functions_that_cannot_be_workflows_are_refused() -> None:
    async def asynchronous() -> None: ...

    async def stream() -> AsyncIterator[int]:
        yield 1

    def plain() -> None: ...

    for fn, message in (
        (asynchronous, "is async"),
        (stream, "is async"),
        (plain, "is not a generator function"),
        (process_order, "is a workflow already"),
        (5, "cannot be called"),
        (staticmethod(process_order.fn), "put @staticmethod above"),
    ):
        with pytest.raises(InvalidDefinition, match=message):
            workflow("name")(fn)
        with pytest.raises(TypeError):
            workflow("name")(fn)


def test_a_wrapped_generator_function_is_a_workflow() -> None:
    assert process_order.fn is not None

    @functools.wraps(process_order.fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        assert process_order.fn is not None
        return process_order.fn(*args, **kwargs)

    assert workflow("wrapped")(wrapper).result_type is Charge


def test_no_command_is_built_inside_a_step_body_but_an_invocation_may_be_for_a_service_to_start() -> None:
    token = performing.set("pay#2")
    try:
        for build in (lambda: charge(Order("o")), lambda: Step("x", len, "x"), lambda: Sleep(5)):
            with pytest.raises(WorkflowMisuse, match="inside the body of step pay#2") as misuse:
                build()
            assert misuse.value.place.startswith(__file__)
        assert process_order(Order("o")).args == (Order("o"),)
    finally:
        performing.reset(token)


def test_step_functions_written_by_hand_need_no_decorator() -> None:
    annotated: StepFunction[..., Any] = charge
    assert annotated.step_id == "charge"
