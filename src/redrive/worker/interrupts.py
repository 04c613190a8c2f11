"""Ctrl-C, told from what a workflow raises by itself."""

from __future__ import annotations

import threading


def is_ctrl_c(error: BaseException) -> bool:
    """Whether *error*, which was raised on this thread, may be Ctrl-C: signals come to the main thread alone."""
    return isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()
