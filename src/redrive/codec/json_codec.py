"""The codec of the runtime: values to JSON and back, by declared types, exactly or not at all."""

from __future__ import annotations

import marshal
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from redrive.codec import faults, ordering, text
from redrive.codec.calls import CallPlan
from redrive.codec.hooks import Hooks
from redrive.codec.planner import Planner
from redrive.codec.plans import OBJECT, Data, Plan, Wrong
from redrive_interpreter.commands.signatures import Signature
from redrive_interpreter.errors import CodecError, InvalidDefinition
from redrive_interpreter.outcomes import Failure
from redrive_interpreter.raised import declared_base, traceback_of, type_name

if TYPE_CHECKING:
    from redrive.codec.hooks import Converting

_TOO_DEEP = "is nested too deep, or contains itself"


class JsonCodec:
    """Values as JSON: an implementation of `redrive_interpreter.codec.Codec`.

    Data is made of None, bool, int, float, str, list and dict with str keys, and survives JSON text without
    loss. *converter* adds the user's cattrs hooks: a ``cattrs.Converter``, or a function that registers
    hooks on the one it is given. *max_bytes* limits the JSON text of one value.
    """

    converter: Converting | None
    max_bytes: int

    def __init__(self, converter: Converting | None = None, max_bytes: int = text.MAX_BYTES) -> None:
        if not isinstance(max_bytes, int):
            raise InvalidDefinition(f"max_bytes= takes a whole number, not {max_bytes!r}")
        if converter is not None and not callable(converter) and not hasattr(converter, "register_structure_hook"):
            raise InvalidDefinition(f"converter= takes a cattrs converter, or a function that is given one, not {converter!r}")
        if max_bytes < 1:
            raise ValueError(f"max_bytes is {max_bytes}: no value fits")
        hooks = None if converter is None else Hooks(converter)
        self.converter, self.max_bytes = converter, max_bytes
        self._light = min(max_bytes // 6, text.MAX_DEPTH * 5)  # the marshal size of data that is within both limits
        self._planner = Planner(hooks)
        self._plans = self._planner.plans
        if hooks is not None:
            hooks.serve(self._planner)

    # ── values ──────────────────────────────────────────────────────────────────────────────────
    def dump(self, value: object, type: Any, where: str, root: str = "value") -> Data:
        """Encode *value*. *root* is how a path in an error begins: ``result.items[3]``."""
        try:
            plan = self._plans.get(type) or self._plan(type, where, root)
        except TypeError:
            plan = self._plan(type, where, root)
        try:
            data = plan.dump(value)
        except Wrong as wrong:
            raise wrong.error(where, root) from wrong.__cause__
        except RecursionError:
            raise CodecError(where, root, plan.name, _TOO_DEEP) from None
        if not plan.small and (problem := text.excess(data, self.max_bytes, plan.endless)):
            raise CodecError(where, root, plan.name, problem)
        return data

    def load(self, data: Data, type: Any, where: str, root: str = "value") -> Any:
        try:
            plan = self._plans.get(type) or self._plan(type, where, root)
        except TypeError:
            plan = self._plan(type, where, root)
        try:
            return plan.load(data)
        except Wrong as wrong:
            raise wrong.error(where, root) from wrong.__cause__
        except RecursionError:
            raise CodecError(where, root, plan.name, _TOO_DEEP) from None

    def load_untyped(self, data: Data) -> Any:
        """Decode *data* for a caller who gives no type. Data that needs a declared type is given back as stored."""
        try:
            return self.load(data, Any, "value")
        except CodecError:
            return data

    def check(self, type: Any, where: str, root: str = "value") -> None:
        """Raises `CodecError` if no value of *type* can be stored."""
        try:
            plan = self._plans.get(type) or self._plan(type, where, root)
        except TypeError:
            plan = self._plan(type, where, root)
        if plan.refuses is not None:
            path, name, problem = plan.refuses
            raise CodecError(where, root + path, name, problem)

    # ── calls ───────────────────────────────────────────────────────────────────────────────────
    def dump_call(self, signature: Signature, args: tuple[object, ...], kwargs: Mapping[str, object], where: str) -> Data:
        call: CallPlan | None = signature.compiled
        if call is None or call.owner is not self:
            call = signature.compiled = CallPlan(self, signature)
        # The loop of _dump_bound once more: this is the hottest line of a replay, and a call costs a twentieth of it.
        data, name = signature.bind(args, kwargs), ""
        parameters = call.parameters
        try:
            for name, value in data.items():
                data[name] = (parameters.get(name) or call.find(self._planner, name)).dump(value)
        except Wrong as wrong:
            raise wrong.error(where, name.removeprefix("*")) from wrong.__cause__
        except RecursionError:
            raise CodecError(where, name.removeprefix("*"), parameters[name].name, _TOO_DEEP) from None
        # One look at the whole call settles nearly every one, see text.excess; the limit is for each argument.
        try:
            light = len(marshal.dumps(data, 2)) <= self._light
        except ValueError:
            light = False
        if not light and text.excess(data, self.max_bytes, call.endless):
            for name, argument in data.items():
                if problem := text.excess(argument, self.max_bytes, call.endless):
                    raise CodecError(where, name.removeprefix("*"), parameters[name].name, problem)
        return data

    def load_call(self, signature: Signature, data: Data, where: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Decode a call. Arguments of parameters that the function no longer has are dropped, as fields of a class are."""
        call: CallPlan | None = signature.compiled
        if call is None or call.owner is not self:
            call = signature.compiled = CallPlan(self, signature)
        if type(data) is not OBJECT:
            raise CodecError(where, "call", "arguments by name", "the stored call is not an object")
        if "*args" in data:
            data = signature.spread(data)
        values: dict[str, Any] = {}
        name = ""
        try:
            for name, item in data.items():
                plan = call.parameters.get(name)
                if plan is None:
                    if not call.takes(name):
                        continue
                    plan = call.find(self._planner, name)
                values[name] = plan.load(item)
        except Wrong as wrong:
            raise wrong.error(where, name.removeprefix("*")) from wrong.__cause__
        except RecursionError:
            raise CodecError(where, name.removeprefix("*"), call.parameters[name].name, _TOO_DEEP) from None
        args, kwargs = signature.call(values)
        if kwargs or len(values) != call.count:
            try:
                signature.bind(args, kwargs)
            except InvalidDefinition as error:
                raise CodecError(where, "call", "arguments by name", f"the stored arguments do not fit the function: {error}") from None
        return args, kwargs

    def _dump_bound(self, call: CallPlan, bound: dict[str, Any], where: str) -> Data:
        """Encode the values of *bound* in place: `bind` made it for this call."""
        parameters = call.parameters
        name = ""
        try:
            for name, value in bound.items():
                plan = parameters.get(name) or call.find(self._planner, name)
                bound[name] = plan.dump(value)
        except Wrong as wrong:
            raise wrong.error(where, name.removeprefix("*")) from wrong.__cause__
        except RecursionError:
            raise CodecError(where, name.removeprefix("*"), parameters[name].name, _TOO_DEEP) from None
        return bound

    # ── errors ──────────────────────────────────────────────────────────────────────────────────
    def dump_error(self, error: BaseException, raises: Sequence[type[BaseException]]) -> Failure:
        """*error* as data. It is rebuilt once here, so that an error that cannot be rebuilt counts as not declared from the
        start."""
        declared, fields = declared_base(error, raises), None
        if declared is not None:
            try:
                fields = faults.dump_fields(error, declared, self.dump)
                faults.rebuild(declared, fields, self.load)
            except Exception:  # the error's own class may raise, and every error must be storable somehow
                declared, fields = None, None
        return Failure(
            type=type_name(type(error)),
            message=faults.short_message_of(error),
            traceback=traceback_of(error),
            declared=None if declared is None else type_name(declared),
            fields=fields,
        )

    def load_error(self, failure: Failure, raises: Sequence[type[BaseException]]) -> BaseException | None:
        """Rebuild a declared error, as a fresh exception each time. Raises `CodecError` if its class can no longer read the
        stored fields."""
        if failure.declared is None:
            return None
        cls = next((cls for cls in raises if type_name(cls) == failure.declared), None)
        if cls is None:
            return None
        try:
            return faults.rebuild(cls, failure.fields, self.load)
        except CodecError as error:
            raise CodecError(f"error {failure.declared}", error.path, error.type, error.problem) from error
        except Exception as error:
            problem = f"it cannot be rebuilt from what is stored: {type(error).__name__}: {error}"
            raise CodecError(f"error {failure.declared}", "fields", failure.declared, problem) from error

    # ── comparison ──────────────────────────────────────────────────────────────────────────────
    def same(self, recorded: Data, asked: Data) -> bool:
        return ordering.same(recorded, asked)

    def same_call(self, signature: Signature, recorded: Data, asked: Data, where: str) -> bool:
        if ordering.same(recorded, asked):
            return True
        try:
            args, kwargs = self.load_call(signature, recorded, where)
            call: CallPlan = signature.compiled
            return ordering.same(self._dump_bound(call, signature.bind(args, kwargs), where), asked)
        except (CodecError, InvalidDefinition):
            return False

    # ── text ────────────────────────────────────────────────────────────────────────────────────
    def to_json(self, obj: Any) -> str:
        """Compact and pure ASCII; *obj* may be rows with data inside."""
        return text.to_json(obj)

    def from_json(self, source: str) -> Any:
        return text.from_json(source)

    def _plan(self, type_: Any, where: str, root: str) -> Plan:
        try:
            return self._planner.plan(type_)
        except Wrong as wrong:
            raise wrong.error(where, root) from None
