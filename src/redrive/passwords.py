"""The URL of a store as it is shown: without its password."""

from __future__ import annotations

import re
from typing import Final

# Up to the last @ before the query: a password that should have been percent-encoded may hold / and @, or even ?. Behind
# the start of the text: a URL whose scheme was forgotten.
_IN_FRONT: Final = re.compile(r"(?:(?<=://)|^(?![a-z+]*://))([^:@/?]*):(?:[^?]*|[^/]*)@", re.DOTALL)
_OPTION: Final = re.compile(r"(?:(?<=[?&\s])|^)((?:ssl)?password)\s*=\s*(?:'[^']*'|[^&\s]*)")


def without_password(url: str) -> str:
    """*url* as it may be printed and logged, whether or not it is one."""
    return _OPTION.sub(r"\1=***", _IN_FRONT.sub(r"\1:***@", url, count=1))
