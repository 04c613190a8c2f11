"""Exceptions: a failure is stored, and a declared error is rebuilt with its type, fields and message (S5)."""

from __future__ import annotations

import dataclasses
from typing import Any

import attrs
import pytest

from redrive.codec import JsonCodec
from redrive_interpreter.errors import CodecError
from redrive_interpreter.outcomes import Failure
from tests.runtime.codec_models import Order

codec = JsonCodec()


class CardDeclined(Exception):
    def __init__(self, order: Order, reason: str, *, code: int = 0) -> None:
        super().__init__(f"{reason} for {order.id}")
        self.order, self.reason, self.code = order, reason, code


class Stolen(CardDeclined):
    def __init__(self) -> None:
        super().__init__(Order("o", 1), "stolen", code=7)


class Annotated(Exception):
    order: Order


@attrs.frozen
class Frozen(Exception):
    order: Order
    code: int = 3

    def __str__(self) -> str:
        return f"frozen {self.order.id}"


@dataclasses.dataclass
class Data(Exception):
    order: Order


class Slotted(Exception):
    __slots__ = ("code",)

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Picky(Exception):
    def __new__(cls, *, secret: str) -> Picky:
        return super().__new__(cls)

    def __init__(self, *, secret: str) -> None:
        super().__init__("picky")


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


def rebuilt(error: BaseException, *raises: type[BaseException]) -> BaseException | None:
    failure = codec.dump_error(error, raises)
    stored = attrs.evolve(failure, fields=codec.from_json(codec.to_json(failure.fields)))
    return codec.load_error(stored, raises)


def with_order(error: Annotated) -> Annotated:
    error.order = Order("o", 1)
    return error


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no", 3, None),
        KeyError(("a", 1)),
        CardDeclined(Order("o", 1), "no funds", code=5),
        with_order(Annotated("x")),
        Frozen(Order("o", 1)),
        Data(Order("o", 1)),
        Slotted(5),
        OSError(2, "No such file", "/nowhere"),
        FileNotFoundError(2, "No such file", "a", None, "b"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
        StopAsyncIteration("x"),
        ZeroDivisionError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_declared_error_is_raised_again_with_its_type_fields_and_message(error: Exception) -> None:
    again = rebuilt(error, type(error))
    assert type(again) is type(error)
    assert again is not error
    assert str(again) == str(error)
    assert vars(again) == vars(error)
    assert again.args == error.args
    for name in ("code", "order", "filename", "filename2", "errno", "reason"):
        assert getattr(again, name, None) == getattr(error, name, None)


def test_each_time_the_error_is_a_fresh_one() -> None:
    failure = codec.dump_error(CardDeclined(Order("o", 1), "no"), [CardDeclined])
    assert codec.load_error(failure, [CardDeclined]) is not codec.load_error(failure, [CardDeclined])


def test_an_error_comes_back_as_its_nearest_declared_base() -> None:
    again: Any = rebuilt(Stolen(), Exception, CardDeclined)
    assert type(again) is CardDeclined
    assert (str(again), again.code, again.order) == ("stolen for o", 7, Order("o", 1))


def test_notes_come_along() -> None:
    error = ValueError("x")
    error.add_note("while shopping")
    again: Any = rebuilt(error, ValueError)
    assert again.__notes__ == ["while shopping"]


def test_an_undeclared_error_is_told_and_not_rebuilt() -> None:
    failure = codec.dump_error(Stolen(), [ValueError])
    assert (failure.type, failure.message, failure.declared) == (f"{__name__}.Stolen", "stolen for o", None)
    assert codec.load_error(failure, [ValueError]) is None
    assert codec.dump_error(ValueError("x"), []).type == "ValueError"


def test_a_declared_error_whose_fields_cannot_be_stored_counts_as_undeclared() -> None:
    for error in (ValueError(object()), ValueError(lambda: 1), Picky(secret="x"), ExceptionGroup("several", [ValueError(1)])):
        failure = codec.dump_error(error, [type(error)])
        assert (failure.declared, failure.fields) == (None, None)
        assert failure.message == str(error)


def test_an_error_that_cannot_print_itself_is_told_all_the_same() -> None:
    failure = codec.dump_error(Unprintable(), [Unprintable])
    assert "RuntimeError" in failure.message
    assert "Unprintable" in failure.traceback


def test_traceback_and_message_are_kept_within_bounds() -> None:
    def down(depth: int) -> None:
        if depth == 0:
            raise ValueError("x" * 1_000_000)
        down(depth - 1)

    with pytest.raises(ValueError) as caught:
        down(300)
    failure = codec.dump_error(caught.value, [])
    assert len(failure.message) <= 65_536
    assert len(failure.traceback) <= 65_536


def test_the_traceback_tells_where_and_why() -> None:
    def fails() -> None:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer") from error

    with pytest.raises(ValueError) as caught:
        fails()
    failure = codec.dump_error(caught.value, [])
    for part in ("KeyError: 'inner'", "ValueError: outer", "in fails", "direct cause"):
        assert part in failure.traceback


def test_an_error_that_is_declared_no_more_is_not_rebuilt() -> None:
    failure = codec.dump_error(CardDeclined(Order("o", 1), "no"), [CardDeclined])
    assert codec.load_error(failure, []) is None
    assert codec.load_error(Failure("x", "y", declared="os.system", fields={"args": [["true"]], "attrs": {}}), [CardDeclined]) is None


def test_fields_that_the_class_cannot_read_any_more_are_an_error_of_the_codec() -> None:
    failure = codec.dump_error(CardDeclined(Order("o", 1), "no"), [CardDeclined])
    failure.fields["attrs"]["order"][0] = {"id": 5}
    for fields in (failure.fields, None, {"args": 5}, {"args": [], "attrs": {"order": [1, "gone"]}}):
        with pytest.raises(CodecError, match="CardDeclined"):
            codec.load_error(attrs.evolve(failure, fields=fields), [CardDeclined])
