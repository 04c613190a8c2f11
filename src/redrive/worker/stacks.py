"""Where a thread or a coroutine stands, as text for a log: the user's frames, without those of the machinery below them."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Any, Final

_HERE: Final = str(Path(__file__).parent)


def of_thread(ident: int) -> str:
    """The stack of the thread *ident*, the innermost frame last."""
    frame = sys._current_frames().get(ident)
    return "?" if frame is None else _text(traceback.extract_stack(frame))


def of_coroutine(coroutine: Any) -> str:
    """The frames at which *coroutine* waits, the innermost last."""
    frames: list[tuple[FrameType, int]] = []
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None) or getattr(coroutine, "ag_frame", None)
        if frame is None:
            break
        frames.append((frame, frame.f_lineno))
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return _text(traceback.StackSummary.extract(frames)) or "?"


def _text(frames: traceback.StackSummary) -> str:
    ours = [n for n, frame in enumerate(frames) if frame.filename.startswith(_HERE)]
    kept = frames[ours[-1] + 1 :] if ours else frames
    return "".join(traceback.format_list(kept or frames)).rstrip()


__all__ = ["of_coroutine", "of_thread"]
