"""A compatibility layer on its way to users: into a repository for tests, from there by its digest to where it is used.

What is published is what was built: every file has the digest that the record says, and the layer the digest that was
asked for. Where a layer was before, nothing that was built on it may lose a symbol that it needs, and the C library,
which running programs have open, does not change unasked.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from outcrop.client.checkout import checkout
from outcrop.client.checkout_plan import plan_checkout
from outcrop.client.repository import OpenRepository
from outcrop.compat.abi.compare import Break
from outcrop.compat.abi.layers import DirectoryFiles, InterfaceReport, LayerFiles, compare_layers
from outcrop.compat.layout import LayerLayout
from outcrop.compat.lock import VersionChange, version_changes
from outcrop.compat.record import (
    layer_digest,
    recorded_digest,
    recorded_layout,
    recorded_lock,
    recorded_redirections,
)
from outcrop.compat.redirection import HOST_INJECTIONS, Redirections
from outcrop.compat.update import LIBC_SOURCE
from outcrop.compat.verify.contents import recorded_files
from outcrop.cvmfs.paths import ROOT, RepositoryPath, repository_path, shown
from outcrop.delivery.publish import STACK_OWNER
from outcrop.delivery.published_layers import (
    PublishedFiles,
    PublishedLayer,
    layer_at,
    layer_with,
    lock_of_layer,
)
from outcrop.delivery.software_on_top import interfaces_in
from outcrop.errors import IntegrityError, InvalidValue
from outcrop.progress import SILENT, Progress
from outcrop.scratch import scratch_directory
from outcrop.software.layout import OPERATING_SYSTEM
from outcrop.stratum0.publishing.door import DoorRules
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree
from outcrop.stratum0.publishing.incoming_parts import LinkTree, PlacedTree
from outcrop.stratum0.publishing.ingest import IngestOutcome, IngestRequest, ingest
from outcrop.stratum0.repository import OwnedRepository

MINIMUM_DIGEST = 12
"""How many digits of a digest must be said at least: nobody finds two layers that begin with the same."""

_SHOWN_DIGEST = 16


@dataclass(frozen=True, slots=True)
class Allowances:
    """What is let through though it may break what runs or was built: a new C library below programs that run; missing
    symbols; a layer in a repository whose name is not in its prefix, which is for tests."""

    libc: bool = False
    breaks: bool = False
    other_repository: bool = False


@dataclass(frozen=True, slots=True)
class LayerPlace:
    """A repository that takes a layer, and the same as its users read it, to compare with what is there; `software` is
    the one with what was built on top, if that is another. `kept` remembers what files need."""

    owned: OwnedRepository
    read: OpenRepository
    kept: Path
    software: OpenRepository | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What the log says of a publication."""

    author: str = ""
    message: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a layer is published: what the log says, what is let through, the time, whether it is only tried, and whether
    links of the repository to which the layer's lead come along where they are missing or different."""

    told: Told
    allowed: Allowances
    now: datetime
    dry_run: bool = False
    progress: Progress = SILENT
    with_links: bool = True


@dataclass(frozen=True, slots=True)
class ExaminedLayer:
    """A layer in the directory `tree` that is as it was built: its `digest`, what is different from the one `before`
    (None where there is none), what becomes of interfaces, the `links` of the repository that come along, and where
    those that are there led before."""

    tree: Path
    layout: LayerLayout
    digest: str
    before: PublishedLayer | None
    changes: tuple[VersionChange, ...]
    interfaces: InterfaceReport
    links: Mapping[RepositoryPath, bytes]
    links_before: Mapping[RepositoryPath, bytes]

    @property
    def path(self) -> RepositoryPath:
        """Its place in a repository."""
        return place_of(self.layout)


@dataclass(frozen=True, slots=True)
class LayerPublication:
    """A layer that was published, and what that did."""

    layer: ExaminedLayer
    outcome: IngestOutcome


def place_of(layout: LayerLayout) -> RepositoryPath:
    """Where a repository has the layer."""
    return repository_path(f"/{layout.relative}")


def publish_layer(tree: Path, place: LayerPlace, terms: Terms, digest: str = "") -> LayerPublication:
    """Publishes the layer in the directory `tree` as one revision; with `digest`, only if it has this one.

    IntegrityError for a layer that is not as it was built; InvalidValue for what is not allowed; what publishing
    raises."""
    return publish_examined(examine_layer(tree, place, terms, digest), place, terms)


def examine_layer(
    tree: Path, place: LayerPlace, terms: Terms, digest: str = "", old: Path | None = None
) -> ExaminedLayer:
    """What publishing the layer in the directory `tree` would do to what is there; with `digest`, only if it has this
    one. Where the repository has no layer yet, interfaces are compared with those of the one in the directory `old`.

    IntegrityError for a layer that is not as it was built; InvalidValue for another repository's layer and for another
    C library, where these are not allowed; what reading the repository raises."""
    layout = recorded_layout(tree)
    actual = _require_as_built(tree, digest)
    _require_home(layout, place.owned, terms.allowed)
    before = layer_at(place.read, place_of(layout))
    changes: tuple[VersionChange, ...] = ()
    interfaces = InterfaceReport((), 0, ())
    if before is not None and before.digest != actual:
        changes = version_changes(lock_of_layer(place.read, before), recorded_lock(tree))
        require_libc(changes, terms.allowed)
        interfaces = _compared(PublishedFiles(place.read, before), tree, layout, place, terms.progress)
    elif before is None and old is not None:
        interfaces = _compared(DirectoryFiles(old), tree, layout, place, terms.progress)
    links = links_to_publish(place.read, recorded_redirections(tree)) if terms.with_links else {}
    there = {path: entry.symlink for path in links if (entry := place.read.tree.lookup(path)) is not None}
    return ExaminedLayer(tree, layout, actual, before, changes, interfaces, links, there)


def publish_examined(layer: ExaminedLayer, place: LayerPlace, terms: Terms) -> LayerPublication:
    """Publishes what was examined, as one revision. InvalidValue where something loses what it needs, and that is not
    allowed; what publishing raises."""
    require_interfaces(layer.interfaces.breaks, terms.allowed)
    request = IngestRequest(
        trees=(DirectoryTree(layer.tree, with_xattrs=False),),
        at=layer.path,
        replace=(layer.path,),
        ownership=STACK_OWNER,
        author=terms.told.author,
        message=terms.told.message or publication_message(layer.layout, layer.digest, layer.before, layer.changes),
        reason=terms.told.reason,
    )
    if layer.links:
        request = _with_links(
            request, DirectoryTree(layer.tree, with_xattrs=False), layer.links, int(terms.now.timestamp())
        )
    outcome = ingest(place.owned, request, now=terms.now, dry_run=terms.dry_run, progress=terms.progress)
    return LayerPublication(layer, outcome)


def links_to_publish(repository: OpenRepository, found: Redirections | None) -> dict[RepositoryPath, bytes]:
    """The links of a layer's record that `repository` does not have, or has otherwise. What is no link there is its
    owner's, and so is any `host_injections`."""
    missing = {}
    for link in found.shared if found is not None else ():
        path, target = repository_path(f"/{link.path}"), os.fsencode(link.target)
        entry = repository.tree.lookup(path)
        is_ours = entry is not None and entry.is_symlink and link.path != HOST_INJECTIONS
        if entry is None or (is_ours and entry.symlink != target):
            missing[path] = target
    return missing


def _with_links(
    request: IngestRequest, layer: DirectoryTree, links: Mapping[RepositoryPath, bytes], moment: int
) -> IngestRequest:
    """`request`, which publishes `layer` at its place, with `links` beside it in the same revision."""
    tops = sorted({repository_path(path.split(b"/")[1]) for path in links})
    return replace(
        request,
        trees=(PlacedTree(layer, request.at, moment), LinkTree(links, moment, "the links for sites")),
        at=ROOT,
        door=DoorRules(within=(request.at, *tops)),
    )


def promote_layer(source: OpenRepository, digest: str, place: LayerPlace, terms: Terms) -> LayerPublication:
    """Publishes the layer of `source` with this `digest`, at least its first digits, where users read it.

    NotFound where `source` has no such layer; what `publish_layer` and reading `source` raise."""
    if len(digest) < MINIMUM_DIGEST:
        problem = f"is too short: {MINIMUM_DIGEST} digits at least say which layer is meant"
        raise InvalidValue(what=f"the digest {digest!r}", problem=problem, hint="`outcrop compat publish` prints it")
    return publish_from(source, layer_with(source, digest), place, terms)


def publish_from(source: OpenRepository, layer: PublishedLayer, place: LayerPlace, terms: Terms) -> LayerPublication:
    """Publishes the `layer` that the revision `source` shows, fetched and verified; IntegrityError where it lies at
    another place than its record says, what `publish_layer` and reading `source` raise."""
    with scratch_directory("layer", place.kept.parent) as scratch:
        tree = scratch.directory / "layer"
        plan = plan_checkout(source.tree, layer.path)
        checkout(plan, source.tree, source.contents, tree, progress=terms.progress)
        _require_place(tree, layer.path)
        return publish_layer(tree, place, terms, layer.digest)


def publication_message(
    layout: LayerLayout, digest: str, before: PublishedLayer | None, changes: Sequence[VersionChange]
) -> str:
    """What the log says where nobody says more: which layer, and which sources are of another version."""
    sources = {
        change.source: f"{change.source} {change.before or 'new'} -> {change.after or 'gone'}" for change in changes
    }
    what = f"Compatibility layer {layout.version} for {layout.family.name}, {digest[:_SHOWN_DIGEST]}"
    if before is not None and sources:
        what += f": {', '.join(sources.values())}"
    return what


def _require_as_built(tree: Path, wanted: str) -> str:
    for finding in recorded_files(tree).findings:
        raise IntegrityError(
            what=f"{finding.subject} of the layer {tree}",
            problem=finding.problem,
            hint="only a layer that is as it was built is published; build it again",
        )
    actual = layer_digest(tree)
    for expected in (recorded_digest(tree), wanted):
        if not actual.startswith(expected):
            raise IntegrityError(
                what=f"the layer {tree}",
                problem=f"has the digest {actual[:_SHOWN_DIGEST]}…, not {expected[:_SHOWN_DIGEST]}…",
                hint="it is not the one that was built and tested",
            )
    return actual


def _require_place(tree: Path, found: RepositoryPath) -> None:
    said = place_of(recorded_layout(tree))
    if said != found:
        raise IntegrityError(
            what=f"the layer at {shown(found)}",
            problem=f"has the record of the one at {shown(said)}",
            hint="somebody has put it there by hand; publish it anew with `outcrop compat publish`",
        )


def _require_home(layout: LayerLayout, owned: OwnedRepository, allowed: Allowances) -> None:
    if layout.repository != owned.name and not allowed.other_repository:
        raise InvalidValue(
            what=f"the layer for {layout.prefix}",
            problem=f"does not work in {owned.name}",
            hint="`--for-tests` publishes it there, for whoever mounts that repository in the other's place",
        )


def require_libc(changes: Sequence[VersionChange], allowed: Allowances) -> None:
    """InvalidValue where the C library is among `changes`, and that is not allowed."""
    libc = next((change for change in changes if change.source == LIBC_SOURCE), None)
    if libc is not None and not allowed.libc:
        raise InvalidValue(
            what=f"the C library {libc.before} of the layer",
            problem=f"would become {libc.after or 'nothing'} below programs that run",
            hint="publish it as a new version of the stack; or add `--allow-libc`",
        )


def _compared(
    old: LayerFiles, tree: Path, layout: LayerLayout, place: LayerPlace, progress: Progress
) -> InterfaceReport:
    software = repository_path(f"/versions/{layout.version}/software/{OPERATING_SYSTEM}/{layout.family.name}")
    on_top = interfaces_in(place.software or place.read, software, place.kept, progress)
    return compare_layers(old, DirectoryFiles(tree), on_top)


def require_interfaces(found: Sequence[Break], allowed: Allowances) -> None:
    """InvalidValue where there are breaks, and they are not allowed."""
    if found and not allowed.breaks:
        first = found[0]
        raise InvalidValue(
            what=f"{first.library} of the new layer",
            problem=f"does not give {first.user} what it needs: {first.problem}"
            + (f" (and {len(found) - 1} more)" if len(found) > 1 else ""),
            hint="`outcrop compat abi` lists all; `--allow-breaks` publishes it anyway",
        )
