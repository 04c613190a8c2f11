"""The texts of a step's rows are written directly, and are to the letter what they would be by way of `dump_row`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redrive.codec import to_json
from redrive.worker.life.row_text import row_text
from redrive_interpreter import CodecError, Err, Failure, Key, Ok, Row
from redrive_interpreter.history.row_json import dump_row
from redrive_interpreter.history.rows import Answered, Asked, Noted

texts = st.text(st.characters(codec=None), max_size=20) | st.sampled_from(["", '"', "\\", "\ud800", "\x00", "</script>", "é", "𝄞"])
data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
moments = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy's own form
outcomes = st.builds(Ok, data) | st.builds(lambda message: Err(Failure("shop.Declined", message)), texts)
answered = st.builds(
    lambda key, outcome, at, doubt: Answered(Key(key), outcome, at=at, in_doubt=doubt), texts, outcomes, moments, st.booleans()
)
asked = st.builds(lambda key, *rest: Asked(Key(key), *rest), texts, texts, texts, data, st.none() | texts)
noted = st.builds(lambda key, text, value: Noted(key=Key(key), text=text, data={"value": value}), texts, texts, data)


@given(answered | asked | noted)
def test_a_row_has_the_text_that_dump_row_gives_it(row: Row) -> None:
    assert row_text(row) == to_json(dump_row(row))


@pytest.mark.parametrize("value", [float("nan"), object()])
def test_what_is_no_data_is_refused_as_before(value: Any) -> None:
    for row in (Answered(Key("a"), Ok(value), at=datetime.now(UTC)), Asked(Key("a"), "step", "a", value)):
        with pytest.raises(CodecError, match="is not data"):
            row_text(row)
