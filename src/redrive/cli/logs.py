"""``--log-level``: logging of commands to stderr."""

from __future__ import annotations

import logging
import sys
from typing import Final

LEVELS: Final = ("debug", "info", "warning", "error", "critical")


def start_logging(asked: str | None, otherwise: str | None = None) -> None:
    """Log to stderr from the level *asked*, else *otherwise*, if any; an app that has set up logging keeps its handlers."""
    level = asked or otherwise
    if level is None:
        return
    logging.basicConfig(level=level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if asked is not None:
        logging.getLogger("redrive").setLevel(asked.upper())
