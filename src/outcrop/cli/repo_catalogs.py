"""`outcrop repo catalogs`"""

from __future__ import annotations

import shutil
import sys
from contextlib import closing

import click

from outcrop.cli.catalog_drawing import drawing
from outcrop.cli.console import Console
from outcrop.cli.options import examples, json_option
from outcrop.cli.progress import size
from outcrop.cli.quantities import counted
from outcrop.cli.terminal import is_terminal, one_line
from outcrop.cvmfs.dirtab import Dirtab
from outcrop.cvmfs.history import TRUNK
from outcrop.cvmfs.names import repository_name
from outcrop.cvmfs.paths import repository_path, shown
from outcrop.directories import data_directory
from outcrop.stratum0.catalogs.catalog_overview import CatalogKind, CatalogSummary, Verdict, catalog_overview
from outcrop.stratum0.catalogs.catalog_tree import CatalogTree
from outcrop.stratum0.catalogs.nesting import read_dirtab
from outcrop.stratum0.history.log import RevisionRecord, root_reference
from outcrop.stratum0.history.revision_names import named_revision
from outcrop.stratum0.repository import OwnedRepository

RULES_TOLD = 8
"""How many rules a hint shows; `--json` has all."""


@click.command(
    "catalogs",
    epilog=examples(
        "outcrop repo catalogs software.example.org",
        "outcrop repo catalogs software.example.org --depth 1",
        "outcrop repo catalogs software.example.org --path /versions/2026.06 --revision 2026.06",
        "outcrop repo catalogs software.example.org --json | jq '.catalogs[] | select(.verdict)'",
    ),
)
@click.argument("fqrn")
@click.option("--path", default="/", metavar="PATH", help="Only the catalog that has PATH, and those below it.")
@click.option("--depth", type=click.IntRange(min=0), help="Go only so many catalogs deep, and count the rest.")
@click.option("--revision", default=TRUNK, metavar="REVISION", show_default=True, help="The revision to look at.")
@json_option
@click.pass_obj
def command(console: Console, *, fqrn: str, path: str, depth: int | None, revision: str, as_json: bool) -> None:
    """Draw the tree of nested catalogs of the repository FQRN, and say which are too large or useless.

    ENTRIES and CONTENTS are a catalog's own, BELOW are the entries of the catalogs nested in it, DATABASE is what a
    client has in memory of it. KIND says why it begins there: a marker (.cvmfscatalog) put by hand or by a rule of
    /.cvmfsdirtab, or an automatic one that splits a catalog beyond the repository's maximum_catalog_entries.

    REVISION is named as `outcrop repo diff` says.
    """
    repository = OwnedRepository.open(data_directory(), repository_name(fqrn))
    record = named_revision(repository, repository.manifest(repository.signing_key()), revision)
    told = catalog_overview(
        repository,
        root_reference(repository, record),
        path=repository_path(path),
        depth=depth,
        progress=console.progress(),
    )
    if as_json:
        console.json(_document(repository, record, told))
        return
    columns = shutil.get_terminal_size().columns if is_terminal(sys.stdout) else None
    for line in drawing(told, columns, depth):
        console.page(line)
    console.note(_conclusion(told))
    for hint in _hints(repository, told, _rules(repository, record)):
        console.hint(hint)


def _conclusion(told: list[CatalogSummary]) -> str:
    top = told[0]
    entries = top.entries + top.entries_below - top.catalogs_below
    database = sum(one.database_bytes for one in told)
    judged = [
        f"{count:,} {verdict.value}"
        for verdict in (Verdict.TOO_LARGE, Verdict.LARGE, Verdict.SMALL)
        if (count := sum(one.verdict is verdict for one in told))
    ]
    catalogs = 1 + top.catalogs_below
    return (
        f"{counted(catalogs, 'catalog')}, {counted(entries, 'entry', 'entries')}, {size(database)} of databases"
        + (f" in the {len(told):,} that are shown" if len(told) < catalogs else "")
        + f": {', '.join(judged) or 'all of a good size'}"
    )


def _rules(repository: OwnedRepository, record: RevisionRecord) -> Dirtab:
    with closing(CatalogTree(repository.load_catalog, root_reference(repository, record))) as tree:
        return read_dirtab(tree, repository.store.read)


def _hints(repository: OwnedRepository, told: list[CatalogSummary], dirtab: Dirtab) -> list[str]:
    settings = repository.settings
    large = [one for one in told if one.verdict in (Verdict.LARGE, Verdict.TOO_LARGE)]
    small = [one for one in told if one.verdict is Verdict.SMALL and one.kind is not CatalogKind.AUTOMATIC]
    rules = list(dict.fromkeys(rule for one in large for rule in one.rules))
    hints = []
    if rules:
        written = [f"  {one_line(shown(rule))}" for rule in rules[:RULES_TOLD]]
        if len(rules) > RULES_TOLD:
            written.append(f"  … and {len(rules) - RULES_TOLD:,} more (`--json` has all)")
        alone = "; without them the next publish there splits them by size" if settings.automatic_catalogs else ""
        hints.append("\n".join([f"these lines in /.cvmfsdirtab split what is too large{alone}:", *written]))
    hints += [
        f"{one_line(shown(one.path))} has no directory that is worth a catalog of its own: "
        "divide its files among directories"
        for one in large
        if not one.rules
    ]
    if small:
        hints.append(
            f"a catalog of fewer than {counted(settings.minimum_catalog_entries, 'entry', 'entries')} "
            f"costs clients more than it saves: {_way_to_merge(small[0], dirtab)}"
        )
    return hints


def _way_to_merge(small: CatalogSummary, dirtab: Dirtab) -> str:
    """How a catalog that is too small becomes part of the one above it."""
    path = one_line(shown(small.path))
    exclude = f"exclude it in /.cvmfsdirtab (`! {path}`)"
    return exclude if dirtab.matches(small.path) else f"take away `{path}/.cvmfscatalog`, or {exclude}"


def _document(repository: OwnedRepository, record: RevisionRecord, told: list[CatalogSummary]) -> dict[str, object]:
    return {
        "repository": repository.name,
        "revision": record.revision,
        "root_catalog": str(record.root_catalog),
        "catalogs": [
            {
                "path": shown(one.path),
                "level": one.level,
                "digest": str(one.digest),
                "kind": one.kind.name.lower(),
                "verdict": None if one.verdict is Verdict.FINE else one.verdict.name.lower(),
                "entries": one.entries,
                "entries_below": one.entries_below,
                "catalogs_below": one.catalogs_below,
                "database_bytes": one.database_bytes,
                "content_bytes": one.content_bytes,
                "content_bytes_below": one.content_bytes_below,
                "rules": [shown(rule) for rule in one.rules],
            }
            for one in told
        ],
    }
