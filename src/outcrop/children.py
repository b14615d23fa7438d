"""Processes that this one forks or starts: they end with it, and tell it which error ended them.

Source: prctl(2), PR_SET_PDEATHSIG.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping

from outcrop import errors
from outcrop.errors import OutcropError

_PR_SET_PDEATHSIG = 1
_FIELD_CHARACTERS = 1000
"""What is told of each field of an error: an error stays far below the 64 KiB that a pipe takes without a reader."""


def end_with_parent(parent: int, signal_number: int) -> None:
    """The kernel sends this process `signal_number` when its parent `parent` ends; if it has ended, we end now.

    To be exact, when the thread ends that made this process."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent:
        os._exit(1)


def error_message(error: OutcropError) -> dict[str, object]:
    """What a child tells its parent of `error`, for JSON. A message of another kind has no member `error`."""
    fields = {name: str(value)[:_FIELD_CHARACTERS] for name, value in error.fields.items()}
    return {"error": type(error).__name__, "fields": fields, "hint": error.hint}


def raise_told(message: Mapping[str, object]) -> None:
    """Raises the error that `message` tells, if it tells one; it is a message of a child of ours."""
    if "error" not in message:
        return
    kind, fields = getattr(errors, str(message["error"])), message["fields"]
    assert issubclass(kind, OutcropError)
    assert isinstance(fields, dict)
    raise kind(hint=str(message["hint"]), **fields)
