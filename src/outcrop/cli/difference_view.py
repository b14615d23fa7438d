"""How the differences between two revisions are shown: as lines, and as JSON objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from outcrop.cli.change_view import change_document, change_line, counts_text, path_line, size_text
from outcrop.cli.console import Console
from outcrop.cli.entry_view import entry_document, text_document
from outcrop.cli.moments import moment_document
from outcrop.cvmfs.catalog_diff import Aspect, Difference, Effect, Version
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.paths import shown
from outcrop.stratum0.publishing.account import collapsed_changes, summary_of
from outcrop.stratum0.publishing.change import ChangeSummary

_ASPECTS = {"kind": Aspect.KIND, "content": Aspect.CONTENT, "attributes": Aspect.ATTRIBUTES}


@dataclass(frozen=True, slots=True)
class ComparedRevision:
    """A revision that is compared with another one. `published_at` is in seconds since 1970, None if nobody says."""

    number: int
    root_catalog: Digest
    published_at: int | None

    def document(self) -> dict[str, object]:
        """The revision as JSON."""
        return {
            "revision": self.number,
            "root_catalog": str(self.root_catalog),
            "published": None if self.published_at is None else moment_document(self.published_at),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs between two revisions, to be shown once: `found` is read as it is shown.

    `summarised` shows whole directories as one line, and never many lines."""

    old: ComparedRevision
    new: ComparedRevision
    found: Iterable[Difference]
    summarised: bool = False

    def show(self, console: Console) -> None:
        """A line for each difference, as soon as it is known, and one that sums them up."""
        if self.summarised:
            summary = summary_of(self.found)
            for line in collapsed_changes(summary.changes).lines:
                console.result(change_line(line))
        else:
            summary = summary_of(_told(console, self.found))
        console.result(f"from revision {self.old.number} to {self.new.number}: {_sum_text(summary)}")

    def document(self) -> dict[str, object]:
        """All of it as JSON."""
        changes: list[dict[str, object]] = []
        if self.summarised:
            summary = summary_of(self.found)
            changes += map(change_document, collapsed_changes(summary.changes).lines)
        else:
            summary = summary_of(_noted(self.found, changes))
        return {
            "from": self.old.document(),
            "to": self.new.document(),
            "added": summary.added,
            "changed": summary.changed,
            "removed": summary.removed,
            "bytes": summary.bytes_in,
            "changes": changes,
        }


def _told(console: Console, found: Iterable[Difference]) -> Iterator[Difference]:
    """`found`, each told on a line of its own as it passes."""
    for one in found:
        attributes_only = one.effect is Effect.CHANGED and not one.is_content
        console.result(path_line(one.effect, one.path, "attributes" if attributes_only else ""))
        yield one


def _noted(found: Iterable[Difference], changes: list[dict[str, object]]) -> Iterator[Difference]:
    """`found`, each added to `changes` as it passes."""
    for one in found:
        changes.append(_difference_document(one))
        yield one


def _sum_text(summary: ChangeSummary) -> str:
    counts = counts_text(summary.added, summary.changed, summary.removed)
    attributes = sum(not change.content for change in summary.changes)
    only = f" ({attributes:,} in attributes only)" if attributes else ""
    return f"{counts}{only}; {size_text(summary.bytes_in)}"


def _difference_document(one: Difference) -> dict[str, object]:
    path = shown(one.path)
    return {
        **text_document("path", path),
        "effect": one.effect.name.lower(),
        "differs": [name for name, aspect in _ASPECTS.items() if aspect & one.aspects],
        "old": _version_document(path, one.old),
        "new": _version_document(path, one.new),
    }


def _version_document(path: str, version: Version | None) -> dict[str, object] | None:
    return None if version is None else entry_document(path, version.entry, version.entry.symlink)
