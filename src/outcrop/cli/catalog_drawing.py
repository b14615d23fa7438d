"""A tree of catalogs drawn with lines, its numbers beside it, in as many columns as the terminal has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from outcrop.cli.progress import size
from outcrop.cli.terminal import Style, one_line, painted, width
from outcrop.cvmfs.paths import shown
from outcrop.stratum0.catalogs.catalog_overview import CatalogSummary, Verdict

_GAP = "  "
_BRANCH, _LAST_BRANCH, _TRUNK, _NO_TRUNK = "├─ ", "└─ ", "│  ", "   "
_CUT = "…"

NARROWEST_TREE = 20
"""Columns that paths get at least: numbers of less interest make way, and below that the line overflows."""

_SHORTEST_PATH = 8
"""Columns that a path gets however deep it lies: a catalog's own name, more or less."""


@dataclass(frozen=True, slots=True)
class _Column:
    heading: str
    value: Callable[[CatalogSummary], str]


_ENTRIES = _Column("ENTRIES", lambda one: f"{one.entries:,}")
_BELOW = _Column("BELOW", lambda one: f"{one.entries_below:,}" if one.catalogs_below else "-")
_DATABASE = _Column("DATABASE", lambda one: size(one.database_bytes))
_CONTENTS = _Column("CONTENTS", lambda one: size(one.content_bytes))
_KIND = _Column("KIND", lambda one: one.kind.value)
_TEXTUAL = (_KIND,)
_COLUMNS = (_ENTRIES, _BELOW, _DATABASE, _CONTENTS, _KIND)
_MAKING_WAY = (_CONTENTS, _KIND, _DATABASE, _BELOW)
"""Which columns go first where there is no room."""


def drawing(told: Sequence[CatalogSummary], columns: int | None, depth: int | None) -> list[str]:
    """The lines, headings first, coloured, none wider than `columns` if that can be (None for any width).

    `told` is in the order of `catalog_overview`, which went no deeper than `depth`.
    """
    stems = _stems(told)
    paths = _labels(told)
    hidden = [_hidden(one, depth) for one in told]
    numbers = {column: [column.value(one) for one in told] for column in _COLUMNS}
    widths = {column: max(map(width, [column.heading, *numbers[column]])) for column in _COLUMNS}
    verdict_width = max((width(one.verdict.value) for one in told), default=0)
    tree_width = max([width("CATALOG"), *(width(stem + path) for stem, path in zip(stems, paths, strict=True))])
    kept = _kept(widths, verdict_width, tree_width, columns)
    if columns is not None:
        taken = sum(len(_GAP) + widths[column] for column in kept) + _gapped(verdict_width)
        tree_width = min(tree_width, max(columns - taken, NARROWEST_TREE))

    def line(tree: str, cells: Sequence[str]) -> str:
        aligned = [
            cell.ljust(widths[column]) if column in _TEXTUAL else cell.rjust(widths[column])
            for column, cell in zip(kept, cells, strict=True)
        ]
        return _GAP.join([tree + " " * (tree_width - width(tree)), *aligned])

    lines = [painted(line("CATALOG", [column.heading for column in kept]).rstrip(), Style.HEADING)]
    for index, one in enumerate(told):
        text = line(_fitted(stems[index], paths[index], tree_width), [numbers[column][index] for column in kept])
        if one.verdict is not Verdict.FINE:
            text += _GAP + painted(one.verdict.value, _STYLES[one.verdict])
        lines.append(text.rstrip())
        if hidden[index]:
            below = _following(stems[index]) + _LAST_BRANCH
            lines.append(painted(f"{below}{_CUT} {hidden[index]:,} more catalogs", Style.COMMENT))
    return lines


_STYLES = {Verdict.TOO_LARGE: Style.ERROR, Verdict.LARGE: Style.WARNING, Verdict.SMALL: Style.COMMENT}


def _labels(told: Sequence[CatalogSummary]) -> list[str]:
    """The path of each catalog from the one above it, which the lines lead to; the whole path of the first."""
    above: dict[int, CatalogSummary] = {}
    labels = []
    for one in told:
        outer = above.get(one.level - 1)
        labels.append(one_line(shown(one.path if outer is None else one.path[len(outer.path) + 1 :])))
        above[one.level] = one
    return labels


def _hidden(one: CatalogSummary, depth: int | None) -> int:
    return one.catalogs_below if depth is not None and one.level == depth else 0


def _stems(told: Sequence[CatalogSummary]) -> list[str]:
    """The lines in front of each path, from the last catalog to the first: only then it is known what follows."""
    stems: list[str] = []
    follows: set[int] = set()
    for one in reversed(told):
        trunks = "".join(_TRUNK if level in follows else _NO_TRUNK for level in range(1, one.level))
        branch = "" if one.level == 0 else _BRANCH if one.level in follows else _LAST_BRANCH
        stems.append(trunks + branch)
        follows = {level for level in follows if level < one.level} | {one.level}
    return stems[::-1]


def _following(stem: str) -> str:
    """What stands in front of a line below the one with `stem`."""
    return stem.replace(_BRANCH, _TRUNK).replace(_LAST_BRANCH, _NO_TRUNK)


def _kept(widths: dict[_Column, int], verdict_width: int, tree_width: int, columns: int | None) -> list[_Column]:
    kept = list(_COLUMNS)
    if columns is None:
        return kept
    for column in _MAKING_WAY:
        taken = sum(len(_GAP) + widths[each] for each in kept) + _gapped(verdict_width)
        if taken + min(tree_width, NARROWEST_TREE) <= columns:
            break
        kept.remove(column)
    return kept


def _gapped(columns: int) -> int:
    return columns + len(_GAP) if columns else 0


def _fitted(stem: str, path: str, columns: int) -> str:
    """`stem` and `path` in no more than `columns`: the end of a path says more than its beginning, or than lines do."""
    if width(stem + path) <= columns:
        return stem + path
    stem = stem[: max(columns - _SHORTEST_PATH, 0)]
    end = path
    while end and width(stem + _CUT + end) > columns:
        end = end[1:]
    return stem + (path if end == path else _CUT + end)
