"""That every file of a layer that had to be moved to its prefix was."""

from __future__ import annotations

from pathlib import Path

import msgspec

from outcrop.compat.record import RELOCATION_FILE, require_record
from outcrop.compat.verify.report import Checked, Finding, checked
from outcrop.errors import FormatError, storage_error


class _Moved(msgspec.Struct, frozen=True):
    path: str
    refused: str = ""


def moved_files(tree: Path) -> Checked:
    """No program or library was left as it was because its file could not be changed, as the record says. NotFound
    without a record, FormatError, StorageError."""
    path = require_record(tree) / RELOCATION_FILE
    try:
        moved = msgspec.json.decode(path.read_bytes(), type=list[_Moved])
    except msgspec.DecodeError as error:
        raise FormatError(what=str(path), field="the list", problem=f"is not accepted: {error}") from error
    except OSError as error:
        raise storage_error(error) from error
    problem = "still speaks of the places of a host: when the layer was built, "
    return checked(len(moved), (Finding(one.path, problem + one.refused) for one in moved if one.refused))
