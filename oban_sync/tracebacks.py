"""What an exception says, as Python prints it, at a price that a job which fails can pay.

Jobs fail at the same places again and again, so the text of a frame is made once. Exceptions are looked at in ways that
their classes cannot change, and what they say themselves may fail without harm.
"""

from __future__ import annotations

import traceback
from types import CodeType, TracebackType
from typing import Any

MOST_SHOWN = 50
"""Exceptions shown of those that led to one another or are grouped, the newest and outermost first."""
MOST_DEEP = 10
"""Groups shown in one another."""
MOST_TEXT = 10_000
"""Characters shown of what one exception says."""
REPEATED = 3
"""Times that the same frame is shown in a row, as Python does."""
REMEMBERED = 2000
"""Frames whose text is kept."""
EXPLAINED = (SyntaxError, NameError, AttributeError, ImportError)
"""Of these Python says more than their text."""
_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"
_HEADER = "Traceback (most recent call last):\n"

_cause_of, _context_of, _suppressed, _trace_of = (
    vars(BaseException)[name].__get__ for name in ("__cause__", "__context__", "__suppress_context__", "__traceback__")
)
_parts_of = vars(BaseExceptionGroup)["exceptions"].__get__
_frames: dict[tuple[int, int], tuple[CodeType, str]] = {}  # a kept code object's id is no other's


def shown(error: BaseException) -> str:
    """Show an exception, where it was raised, and those that led to it.

    Example:
        >>> shown(ValueError("no"))
        'ValueError: no\\n'
    """
    return _chain(error, set(), 0)


def clipped(text: str, most: int) -> str:
    """Leave out the middle of a text that has more characters than that."""
    if len(text) <= most:
        return text
    head, tail = most // 4, most - most // 4 - 50
    return f"{text[:head]}\n... {len(text) - head - tail:,} characters left out ...\n{text[-tail:]}"


def _chain(error: BaseException | None, seen: set[int], depth: int) -> str:
    texts: list[str] = []
    while error is not None:
        seen.add(id(error))
        text = _one(error, seen, depth)
        error, joint = _before(error, seen)
        texts += [text, joint]
    return "".join(reversed(texts))


def _before(error: BaseException, seen: set[int]) -> tuple[BaseException | None, str]:
    """Give what led to an exception, if that is to be shown, and the line between the two."""
    before, joint = _cause_of(error), _CAUSE
    if before is None and not _suppressed(error):
        before, joint = _context_of(error), _CONTEXT
    return (None, "") if before is None or id(before) in seen or len(seen) >= MOST_SHOWN else (before, joint)


def _one(error: BaseException, seen: set[int], depth: int) -> str:
    trace = _trace_of(error)
    lines = "" if trace is None else _HEADER + _stack(trace)
    if not issubclass(type(error), BaseExceptionGroup):
        return lines + _said(error, trace)
    parts = [_part(part, number, seen, depth) for number, part in enumerate(_parts_of(error)[:MOST_SHOWN], 1)]
    return lines + _said(error, trace) + "".join(parts)


def _part(error: BaseException, number: int, seen: set[int], depth: int) -> str:
    """Show what is in a group, further to the right."""
    known = id(error) in seen or len(seen) >= MOST_SHOWN or depth >= MOST_DEEP
    lines = "...\n" if known else _chain(error, seen, depth + 1)
    return f"  +---------------- {number} ----------------\n" + "".join(
        f"  | {line}" for line in lines.splitlines(keepends=True)
    )


def _stack(trace: TracebackType) -> str:
    texts: list[str] = []
    here: TracebackType | None = trace
    while here is not None:
        first, times = here, 0
        code, place = first.tb_frame.f_code, first.tb_lasti
        while here is not None and here.tb_lasti == place and here.tb_frame.f_code is code:
            times, here = times + 1, here.tb_next
        texts += [_frame(first)] * min(times, REPEATED)
        if (more := times - REPEATED) > 0:
            texts.append(f"  [Previous line repeated {more} more time{'s' if more > 1 else ''}]\n")
    return "".join(texts)


def _frame(trace: TracebackType) -> str:
    code = trace.tb_frame.f_code
    key = id(code), trace.tb_lasti
    if (found := _frames.get(key)) is None:
        if len(_frames) >= REMEMBERED:
            _frames.clear()
        found = _frames[key] = code, "".join(traceback.extract_tb(trace, 1).format())
    return found[1]


def _said(error: BaseException, trace: TracebackType | None) -> str:
    """Give the last lines: type, text and notes."""
    kind = type(error)
    if issubclass(kind, EXPLAINED):
        return "".join(traceback.TracebackException(kind, error, trace, limit=1).format_exception_only())
    name = (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )
    text = _text(error, "exception")
    return f"{name}: {text}\n{_notes(error)}" if text else f"{name}\n{_notes(error)}"


def _notes(error: BaseException) -> str:
    try:
        notes = getattr(error, "__notes__", None)
    except BaseException:
        return ""
    return "".join(f"{_text(note, 'note')}\n" for note in notes) if type(notes) is list else ""


def _text(value: Any, what: str) -> str:
    try:
        return clipped(str(value), MOST_TEXT)
    except BaseException:
        return f"<{what} str() failed>"
