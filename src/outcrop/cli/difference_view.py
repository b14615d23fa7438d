"""How the differences between two revisions are shown: as lines, and as JSON objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from outcrop.cli.change_view import path_line
from outcrop.cli.console import Console
from outcrop.cli.entry_view import entry_document
from outcrop.cvmfs.catalog_diff import Aspect, Difference, Effect, Version
from outcrop.cvmfs.paths import shown

_ASPECTS = {"kind": Aspect.KIND, "content": Aspect.CONTENT, "attributes": Aspect.ATTRIBUTES}


def told(console: Console, found: Iterable[Difference]) -> Iterator[Difference]:
    """`found`, each told on a line of its own as it passes."""
    for one in found:
        attributes_only = one.effect is Effect.CHANGED and not one.is_content
        console.result(path_line(one.effect, one.path, "attributes" if attributes_only else ""))
        yield one


def difference_document(one: Difference) -> dict[str, object]:
    """A difference as JSON."""
    path = shown(one.path)
    return {
        "path": path,
        "effect": one.effect.name.lower(),
        "differs": [name for name, aspect in _ASPECTS.items() if aspect & one.aspects],
        "old": _version_document(path, one.old),
        "new": _version_document(path, one.new),
    }


def _version_document(path: str, version: Version | None) -> dict[str, object] | None:
    return None if version is None else entry_document(path, version.entry, version.entry.symlink)
