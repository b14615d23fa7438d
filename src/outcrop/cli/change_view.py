"""How changes of a repository are shown: as lines that begin with `+`, `~` or `-`, and as JSON objects."""

from __future__ import annotations

from outcrop.cvmfs.catalog_diff import Effect
from outcrop.cvmfs.paths import RepositoryPath, shown
from outcrop.cvmfs.revision_account import ChangeLine, Extent


def path_line(effect: Effect, path: RepositoryPath, note: str = "") -> str:
    """One path and what happened to it, as `outcrop repo ingest --dry-run` writes it."""
    return f"{effect.value} {shown(path)}" + (f" ({note})" if note else "")


def change_line(line: ChangeLine) -> str:
    """A line of an account."""
    return path_line(line.effect, line.path, change_note(line))


def change_note(line: ChangeLine) -> str:
    """What is to be said of a line of an account besides effect and path; empty for a single entry."""
    if line.extent is Extent.BELOW:
        return "1 change below" if line.entries == 1 else f"{line.entries:,} changes below"
    if line.extent is Extent.ATTRIBUTES:
        return "attributes"
    return f"{line.entries:,} entries" if line.entries > 1 else ""


def change_document(line: ChangeLine) -> dict[str, object]:
    """A line of an account as JSON."""
    return {
        "path": shown(line.path),
        "effect": line.effect.name.lower(),
        "extent": line.extent.value,
        "entries": line.entries,
        "bytes": line.bytes,
    }


def counts_text(added: int, changed: int, removed: int) -> str:
    """How much was done, for a line that sums it up."""
    return f"{added:,} added, {changed:,} changed, {removed:,} removed"


def size_text(size: int) -> str:
    """A number of bytes."""
    return "1 byte" if size == 1 else f"{size:,} bytes"
