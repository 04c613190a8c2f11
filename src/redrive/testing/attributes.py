"""Access to the attributes that a run has set, for tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from redrive.codec import JsonCodec
    from redrive_interpreter import Attribute

T = TypeVar("T")


class Attributes(Mapping[Any, Any]):
    """Attributes by name, as stored, or by `Attribute`, decoded."""

    def __init__(self, data: Mapping[str, Any], codec: JsonCodec) -> None:
        self._data = data
        self._codec = codec

    def __getitem__(self, key: Attribute[T] | str) -> Any:
        if isinstance(key, str):
            return self._data[key]
        return self._codec.load(self._data[key.name], key.type, f"attribute {key.name}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)
