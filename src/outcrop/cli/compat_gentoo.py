"""What `outcrop compat plan` and `outcrop compat build` do for a layer that Gentoo Prefix builds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from outcrop.cli.compat_since import since_document, tell_since
from outcrop.cli.console import Console
from outcrop.cli.quantities import counted
from outcrop.compat.build import BuildPlace
from outcrop.compat.changelog import Occasion
from outcrop.compat.debian.package_mirror import PackageMirror
from outcrop.compat.family import Family
from outcrop.compat.gentoo.build import build_prefix
from outcrop.compat.gentoo.inputs import fetch_snapshot
from outcrop.compat.gentoo.installed import OF_THE_BUILD
from outcrop.compat.gentoo.lock import GentooLock, read_lock, require_same_inputs, write_lock
from outcrop.compat.gentoo.plan import GentooPlan, plan_prefix
from outcrop.compat.gentoo.snapshot_facts import AtomFacts, SnapshotFacts, snapshot_facts
from outcrop.compat.package_sets import LayerDescription
from outcrop.compat.rebuild import Original, compared
from outcrop.compat.record import LOCK_FILE, Difference, require_record
from outcrop.errors import InvalidValue
from outcrop.progress import Progress


def refuse_release(release: str | None) -> None:
    """Raises InvalidValue where a release of Debian is asked for."""
    if release:
        raise InvalidValue(
            what=f"--release {release}",
            problem="names a release of Debian, and this layer is built by Gentoo Prefix",
            hint="its snapshot is named in `[gentoo.snapshot]` of `layer.toml`",
        )


def show_plans(
    console: Console,
    description: LayerDescription,
    families: Sequence[Family],
    with_sets: Sequence[str],
    lock: Path | None,
    ebuilds: PackageMirror | None,
    *,
    as_json: bool,
) -> None:
    """Plans the layers of `families` and tells of them; writes the `lock` of the one. With `ebuilds`, where the
    snapshot is fetched to, also what that says of each atom."""
    plans = [plan_prefix(description, family, with_sets) for family in families]
    if lock is not None:
        write_lock(plans[0].lock, lock)
    facts = None
    if ebuilds is not None:
        snapshot = fetch_snapshot(plans[0].lock.snapshot, description.gentoo, ebuilds)
        facts = snapshot_facts(snapshot, {one.atom for plan in plans for one in plan.atoms})
    if as_json:
        console.json(
            {
                "release": plans[0].lock.release,
                "layers": [_document(plan, facts) for plan in plans],
                "differences": [
                    {"name": atom, "families": [plan.family.name for plan in plans if atom in _shipped(plan)]}
                    for atom in _different(plans)
                ],
            }
        )
        return
    for plan in plans:
        _show(console, plan, facts)
    if len(plans) > 1:
        _show_differences(console, plans)
    if lock is not None:
        console.note(f"the lock is in {lock}")


def _document(plan: GentooPlan, facts: SnapshotFacts | None) -> dict[str, object]:
    return {
        "family": plan.family.name,
        "sets": [one.name for one in plan.sets],
        "profile": plan.lock.profile,
        "overlays": [{"name": one.name, "commit": one.commit} for one in plan.lock.overlays],
        "without_atom": list(plan.without_atom),
        "packages": [
            {
                "name": one.atom,
                "asked_for_by": list(one.packages),
                "reason": one.reason,
                "ships": one.ships,
                **_facts_document(facts.of(one.atom, plan.family) if facts else None),
            }
            for one in plan.atoms
        ],
    }


def _facts_document(facts: AtomFacts | None) -> dict[str, object]:
    if facts is None:
        return {"version": None, "sources": None, "licences": []}
    return {"version": facts.version, "sources": facts.sources, "licences": list(facts.licences)}


def _show(console: Console, plan: GentooPlan, facts: SnapshotFacts | None) -> None:
    reasons = {one.atom: one.reason + ("" if one.ships else " (only while building)") for one in plan.atoms}
    known = {one.atom: facts.of(one.atom, plan.family) for one in plan.atoms} if facts else {}
    if facts:
        rows = [(atom, *_facts_row(known[atom], reason)) for atom, reason in reasons.items()]
        console.table(("ATOM", "VERSION", "kB", "WHY", "LICENCES"), rows)
    else:
        console.table(("ATOM", "WHY"), list(reasons.items()))
    sets = ", ".join(one.name for one in plan.sets)
    console.note(f"{plan.family.name}: {plan.lock.release}, {plan.lock.profile}, {sets}")
    for overlay in plan.lock.overlays:
        console.note(f"overlay {overlay.name} at {overlay.commit}")
    if plan.without_atom:
        console.note(f"without an atom, so not in this layer: {', '.join(plan.without_atom)}")
    if not facts:
        console.note("`--licences` fetches the snapshot, and tells versions, sizes of sources and licences")
        return
    size = sum(one.sources for one in known.values() if one)
    unknown = sum(one is None for one in known.values())
    console.note(f"at most {size / 1e6:,.0f} MB of sources, without those of what the atoms need")
    console.note(
        "masks, flags and overlays were not looked at, so Portage may take other versions; how large the layer is, the "
        "build will tell"
    )
    if unknown:
        console.note(f"{counted(unknown, 'atom')} that the snapshot has not for {plan.family.name} (?)")


def _facts_row(facts: AtomFacts | None, reason: str) -> tuple[str, str, str, str]:
    if facts is None:
        return "?", "?", reason, "?"
    return facts.version, f"{facts.sources // 1000:,}", reason, " ".join(facts.licences) or "?"


def _shipped(plan: GentooPlan) -> set[str]:
    return {one.atom for one in plan.shipped}


def _different(plans: Sequence[GentooPlan]) -> list[str]:
    """The atoms that are not in the layers of all families, in the order of their names."""
    atoms = [_shipped(plan) for plan in plans]
    return sorted(atom for atom in set().union(*atoms) if not all(atom in one for one in atoms))


def _show_differences(console: Console, plans: Sequence[GentooPlan]) -> None:
    different = _different(plans)
    if not different:
        console.note("the families have the same atoms")
        return
    console.result("")
    console.table(
        ("ONLY IN SOME", *(plan.family.name for plan in plans)),
        [(atom, *("yes" if atom in _shipped(plan) else "-" for plan in plans)) for atom in different],
    )


def build(
    console: Console,
    place: BuildPlace,
    description: LayerDescription,
    with_sets: Sequence[str],
    lock: Path | None,
    packages: PackageMirror,
    occasion: Occasion,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Builds the layer at `place`, of what `lock` names if one is given, and tells of it."""
    layout = place.layout
    exact = plan_prefix(description, layout.family, with_sets).lock
    if lock is not None:
        given = read_lock(lock)
        require_same_inputs(exact, given)
        exact = given
    if dry_run:
        _show_build(console, place, exact, as_json=as_json)
        return
    started = time.monotonic()
    built = build_prefix(place, exact, description, packages, console.progress(), occasion=occasion)
    seconds = time.monotonic() - started
    if as_json:
        console.json(
            {
                "prefix": str(layout.prefix),
                "tree": str(built.tree),
                "record": str(built.record),
                "packages": len(exact.atoms),
                **since_document(built),
                "seconds": round(seconds, 1),
            }
        )
        return
    console.note(f"{counted(len(exact.atoms), 'atom')} of {exact.release} for {layout.prefix}, in {seconds:,.0f} s")
    tell_since(console, built)
    console.result(str(built.tree))


def gentoo_lock(tree: Path) -> GentooLock:
    """What the layer `tree` was built from, as its record says. NotFound, FormatError, StorageError."""
    return read_lock(require_record(tree) / LOCK_FILE)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A layer that was built once more: where, how many paths were compared, those that differ, and those of them that
    tell when it was built."""

    tree: Path
    compared: int
    different: tuple[Difference, ...]
    expected: tuple[Difference, ...]


def rebuild(
    original: Original,
    place: BuildPlace,
    exact: GentooLock,
    description: LayerDescription,
    packages: PackageMirror,
    progress: Progress,
) -> Rebuilt:
    """Builds the layer `original` once more at `place`, from the lock `exact` and the mirror alone, and compares."""
    asked_for = [one.name for one in description.sets if one.name in exact.sets]
    require_same_inputs(plan_prefix(description, place.layout.family, asked_for).lock, exact)
    if not exact.source_archives:
        raise InvalidValue(
            what="the lock",
            problem="names no source archives, so it cannot be built without a network",
            hint="name the one that a finished build has in its record, `reprod/<time>/lock.json`",
        )
    built = build_prefix(place, exact, description, packages, progress)
    different = compared(original, built.tree)
    expected = tuple(one for one in different if OF_THE_BUILD.fullmatch(one.path))
    return Rebuilt(built.tree, len(original.contents), tuple(one for one in different if one not in expected), expected)


def _show_build(console: Console, place: BuildPlace, lock: GentooLock, *, as_json: bool) -> None:
    if as_json:
        console.json({"prefix": str(place.layout.prefix), "tree": str(place.tree), "packages": len(lock.atoms)})
        return
    console.result(f"{place.tree}: {counted(len(lock.atoms), 'atom')} of {lock.release} for {place.layout.prefix}")
