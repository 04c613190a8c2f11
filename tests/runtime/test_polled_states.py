"""A step that is asked in a loop, with a sleep in between, whose state is stored by the user's own hooks, whatever its type is."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Any, NewType

import attrs
import pytest

from redrive import AsyncDurableService, Flow, Sleep, Workflow, step, workflow
from redrive_interpreter import Answered, Ok


class Word(str):
    __slots__ = ()


@attrs.frozen
class Box:
    text: str


class Plain:
    def __init__(self, text: str) -> None:
        self.text = text


Named = NewType("Named", str)
TYPES: dict[str, tuple[Any, Callable[[str], Any], Callable[[Any], str]]] = {
    "str": (str, str, str),
    "a subclass of str": (Word, Word, str),
    "a NewType": (Named, str, str),
    "an attrs class": (Box, Box, lambda box: box.text),
    "a class of the user's": (Plain, Plain, lambda plain: plain.text),
}


def polling(type_: Any, made: Callable[[str], Any], text_of: Callable[[Any], str]) -> Workflow[[], Any]:
    def check(state: Any) -> Any:
        return made(text_of(state) + "x")

    check.__annotations__ = {"state": type_, "return": type_}
    checked = step("check")(check)

    def poll() -> Any:
        state = made("")
        while len(text_of(state)) < 3:
            state = yield from checked(state)
            yield from Sleep(0.005)
        return state

    poll.__annotations__ = {"return": Flow[type_]}
    return workflow("polls")(poll)


@pytest.mark.parametrize("which", list(TYPES))
async def test_a_polled_state_is_stored_and_read_by_the_users_hooks_at_each_round(store_url: str, which: str) -> None:
    """Also where each round begins with a replay."""
    type_, made, text_of = TYPES[which]

    def hooks(converter: Any) -> None:
        converter.register_unstructure_hook(type_, lambda value: codecs.encode(text_of(value), "rot13"))
        converter.register_structure_hook(type_, lambda data, _: made(codecs.decode(data, "rot13")))

    async with AsyncDurableService(store_url, [polling(type_, made, text_of)], converter=hooks, cache=1) as service:
        execution = await service.start(polling_of(service)())
        found = await execution.result(10)
        rows = await execution.history()
    assert (text_of(found), isinstance(found, type_ if isinstance(type_, type) else str)) == ("xxx", True)
    stored = [row.outcome.value for row in rows if isinstance(row, Answered) and isinstance(row.outcome, Ok)]
    assert stored == ["k", "kk", "kkk"]


def polling_of(service: AsyncDurableService) -> Workflow[[], Any]:
    return service.workflows["polls"]
