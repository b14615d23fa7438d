"""What a built layer has that the one before had not, as commands tell it."""

from __future__ import annotations

from outcrop.cli.console import Console
from outcrop.cli.quantities import counted
from outcrop.compat.build import BuiltLayer
from outcrop.compat.changelog import CHANGELOG_FILE
from outcrop.compat.record import changes_since


def since_document(built: BuiltLayer) -> dict[str, object]:
    """As JSON: which layer it follows, and the packages that are not the same."""
    since = built.occasion.since
    changes = changes_since(since, built.record)
    return {
        "since": since.name if since else None,
        "package_changes": [{"name": one.name, "before": one.before, "after": one.after} for one in changes],
    }


def tell_since(console: Console, built: BuiltLayer) -> None:
    """Says how much is new, and where all of it is told."""
    if since := built.occasion.since:
        number = counted(len(changes_since(since, built.record)), "package")
        console.note(f"{number} changed since {since.name}: {CHANGELOG_FILE} in the record has them")
