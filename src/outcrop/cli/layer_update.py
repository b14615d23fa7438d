"""An update of a layer, carried out and told: built, verified, compared with what stands on it, published for tests."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from outcrop.cli.change_view import size_text
from outcrop.cli.compat_build import warn_of_refused
from outcrop.cli.console import Console
from outcrop.cli.layer_publishing import (
    LayerPublishing,
    interfaces_document,
    publication_document,
    tell_interfaces,
    tell_outcome,
)
from outcrop.cli.quantities import counted
from outcrop.cli.verification_view import failure, tell_result, verification_document
from outcrop.compat.build import fetch_packages
from outcrop.compat.debian.package_mirror import PackageMirror
from outcrop.compat.lock import Lock
from outcrop.compat.package_sets import LayerDescription
from outcrop.compat.update import Change, Update
from outcrop.compat.verify.layer import verify_layer
from outcrop.compat.verify.recorded import recorded_verification
from outcrop.compat.verify.report import Means
from outcrop.cvmfs.paths import shown
from outcrop.delivery.layer_publication import examine_layer, publish_examined
from outcrop.delivery.layer_update import PlannedUpdate, WantedUpdate, build_update, plan_update, wanted_update
from outcrop.delivery.published_layers import PublishedLayer
from outcrop.directories import data_directory

UPDATES_DIRECTORY = "updates"
_DIGITS = 16


@dataclass(frozen=True, slots=True)
class UpdateOrder:
    """What is to become of an update: published in the repository `fqrn`, after it was built below `tree` (None for a
    directory of its own in the data directory) as `description` says, from packages of `mirror` and `archives`, and
    verified, unless `verify` says no. What needs one of `without` is not verified."""

    fqrn: str
    tree: Path | None
    verify: bool
    mirror: PackageMirror
    archives: tuple[str, ...]
    description: LayerDescription
    without: frozenset[Means] = frozenset()


def changes_document(changes: tuple[Change, ...]) -> list[dict[str, str]]:
    """The packages of an update, as JSON."""
    return [
        {"name": one.name, "source": one.source, "before": one.before, "after": one.after, "reason": one.reason}
        for one in changes
    ]


def publish_update(
    console: Console, old: Path, update: Update, order: UpdateOrder, publishing: LayerPublishing, lock: Path | None
) -> None:
    """Does with the `update` of the layer in the directory `old`, whose lock was written to `lock`, what `order` says,
    as far as it is not done yet.

    InvalidValue where verification finds anything or something on top loses what it needs: then nothing is published.
    What planning, building and publishing raise."""
    run = _Run(console, order, publishing)
    run.answer |= {"lock": str(lock) if lock else None, "changes": changes_document(update.changes)}
    for one in update.changes:
        run.note(f"{one.name}: {one.before or 'not there'} -> {one.after} ({one.reason})")
    if not update.changes:
        run.note(f"nothing to update in {old}")
        run.end()
        return
    planned = run.plan(wanted_update(old, update, order.description))
    if planned.is_published and planned.before is not None:
        run.tell_there(planned.before)
        run.end(planned, planned.before.digest)
    elif publishing.dry_run and not planned.is_built:
        run.end()
    else:
        if not publishing.dry_run:
            run.build(planned)
            run.verify(planned)
        run.end(planned, run.publish(planned))


class _Run:
    """The steps of an update, each told when it is done; `answer` is what JSON has of them."""

    def __init__(self, console: Console, order: UpdateOrder, publishing: LayerPublishing) -> None:
        self._console = console
        self._order = order
        self._publishing = publishing
        self.answer: dict[str, object] = {
            "repository": order.fqrn,
            "plan": None,
            "tree": None,
            "verification": None,
            "interfaces": None,
            "publication": None,
            "digest": None,
            "next": None,
        }

    def note(self, text: str) -> None:
        if not self._publishing.as_json:
            self._console.note(text)

    def plan(self, wanted: WantedUpdate) -> PlannedUpdate:
        destination = self._order.tree or data_directory() / UPDATES_DIRECTORY / wanted.key
        with self._publishing.place(self._console, self._order.fqrn) as place:
            allowed = self._publishing.terms(self._console).allowed
            planned = plan_update(wanted, place, allowed, destination.absolute())
        tree = planned.place.tree
        missing = [one for one in wanted.lock.all if not self._order.mirror.place(one.sha256).is_file()]
        self.answer["tree"] = str(tree)
        self.answer["plan"] = {
            "publish": not planned.is_published,
            "build": not (planned.is_published or planned.is_built),
            "fetch": 0 if planned.is_published or planned.is_built else len(missing),
            "bytes": 0 if planned.is_published or planned.is_built else sum(one.size for one in missing),
            "verify": self._order.verify and not planned.is_published,
            "before": planned.before.digest if planned.before else None,
        }
        if self._publishing.dry_run and not planned.is_published:
            self._tell_plan(planned, len(missing), sum(one.size for one in missing))
        return planned

    def _tell_plan(self, planned: PlannedUpdate, missing: int, size: int) -> None:
        tree = planned.place.tree
        if planned.is_built:
            self.note(f"{tree} is built already")
        else:
            self.note(f"would fetch {counted(missing, 'file')} ({size_text(size)}), and build {tree}")
        if self._order.verify:
            self.note("would verify it")
        before = f"in the place of {planned.before.digest[:_DIGITS]}…" if planned.before else "where none is"
        self.note(f"would publish it in {self._order.fqrn}, {before}, if nothing loses what it needs")

    def tell_there(self, layer: PublishedLayer) -> None:
        self.note(f"{self._order.fqrn}:{shown(layer.path)} is this layer already")
        if not self._publishing.as_json:
            self._console.result(layer.digest)

    def build(self, planned: PlannedUpdate) -> None:
        order, progress = self._order, self._console.progress()

        def fetch(lock: Lock) -> dict[str, Path]:
            return fetch_packages(lock, order.mirror, order.archives, progress)

        built = build_update(planned, fetch, progress)
        if built is None:
            self.note(f"{planned.place.tree} was built before")
            return
        warn_of_refused(self._console, built)
        self.note(f"{built.tree} is built")

    def verify(self, planned: PlannedUpdate) -> None:
        if not self._order.verify:
            self._console.warning("the layer is published without having been verified")
            return
        tree = planned.place.tree
        wanted = recorded_verification(tree, planned.wanted.description, self._order.without)
        told = (lambda _: None) if self._publishing.as_json else functools.partial(tell_result, self._console)
        report = verify_layer(wanted, told)
        self.answer["verification"] = verification_document(report)
        if not report.passed:
            self.end()
            self.note("the same command verifies it once more, without a build")
            raise failure(tree, report, f", so {self._order.fqrn} stays as it is")

    def publish(self, planned: PlannedUpdate) -> str:
        """The digest of the layer."""
        publishing = self._publishing
        # Opened anew: others may have published while this was built.
        with publishing.place(self._console, self._order.fqrn) as place:
            terms = publishing.terms(self._console, for_tests=True)
            layer = examine_layer(planned.place.tree, place, terms, old=planned.wanted.old)
            self.answer["interfaces"] = interfaces_document(layer.interfaces)
            if not publishing.as_json:
                tell_interfaces(self._console, layer.interfaces)
            if layer.interfaces.breaks and not terms.allowed.breaks:
                self.end()
            published = publish_examined(layer, place, terms)
        self.answer["publication"] = publication_document(published)
        if not publishing.as_json:
            tell_outcome(self._console, published, dry_run=publishing.dry_run)
        return layer.digest

    def end(self, planned: PlannedUpdate | None = None, digest: str = "") -> None:
        """The whole answer, and which command comes next, where the layer with `digest` is published."""
        if planned is not None and (planned.is_published or not self._publishing.dry_run):
            users = planned.wanted.layout.repository
            following = f"outcrop compat promote {self._order.fqrn} {users} {digest[:_DIGITS]}"
            self.answer |= {"digest": digest, "next": following}
            self.note(f"once it is tested: `{following}`")
        if self._publishing.as_json:
            self._console.json(self.answer)
