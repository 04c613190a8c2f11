"""Values to JSON and back: exact, typed by annotations, never pickled."""

from redrive.codec.json_codec import JsonCodec
from redrive.codec.text import MAX_BYTES, from_json, to_json

__all__ = ["MAX_BYTES", "JsonCodec", "from_json", "to_json"]
