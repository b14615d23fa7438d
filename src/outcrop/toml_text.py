"""TOML that people write, decoded into a type; what is wrong is told by the name of the field."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeVar

import msgspec

from outcrop.errors import FormatError, NotFound, storage_error

T = TypeVar("T")

_FIELD_OF_ERROR = re.compile(r"(?P<problem>.*?)(?: - at `\$\.?(?P<field>[^`]*)`)?")
_FIELD_AS_SUCH = re.compile(r"field `(?P<field>[^`]+)`")


def decoded(text: str, kind: type[T], what: str) -> T:
    """What `text` says, as a `kind`; `what` is its name in errors. FormatError names the field that is wrong."""
    try:
        return msgspec.toml.decode(text, type=kind)
    except msgspec.DecodeError as error:
        placed = _FIELD_OF_ERROR.fullmatch(str(error))
        as_such = _FIELD_AS_SUCH.search(str(error))
        if placed and placed["field"]:
            field, problem = placed["field"], placed["problem"]
        else:
            field, problem = as_such["field"] if as_such else "the file", str(error)
        raise FormatError(
            what=what, field=field, problem=f"is not accepted: {problem}", hint=f"mend {what} and try again"
        ) from error


def read_text(path: Path, hint: str = "check the path") -> str:
    """The text in `path`. NotFound with `hint`, FormatError where it is not UTF-8, StorageError."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(what=str(path), hint=hint) from None
    except UnicodeDecodeError:
        raise FormatError(what=str(path), field="the file", problem="is not UTF-8 text") from None
    except OSError as error:
        raise storage_error(error) from error
