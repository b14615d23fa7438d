"""What is verified of a layer that has a record: which packages and programs its sets name, and what they may do."""

from __future__ import annotations

from pathlib import Path

from outcrop.compat.gentoo.lock import GentooLock
from outcrop.compat.gentoo.lock import read_lock as read_gentoo_lock
from outcrop.compat.gentoo.plan import sets_with_atoms, wanted_atoms
from outcrop.compat.lock import Lock
from outcrop.compat.package_sets import LayerDescription, wanted_names
from outcrop.compat.package_sets import wanted_programs as programs_of
from outcrop.compat.record import LOCK_FILE, recorded_layout, recorded_lock, recorded_origin, require_record
from outcrop.compat.verify.choices import choices_for
from outcrop.compat.verify.layer import Verification

_BUILD_PLACES = ("/outcrop-compat-",)
"""What is in the paths of the directories in which layers are made."""


def recorded_verification(tree: Path, description: LayerDescription) -> Verification:
    """What `verify_layer` needs to know of the layer `tree`, which is declared by `description`. NotFound, FormatError,
    StorageError."""
    origin = recorded_origin(tree)
    layout = recorded_layout(tree)
    sets = [one for one in description.sets if one.name in origin.sets and one.ships]
    lock: Lock | GentooLock
    if origin.back_end:
        sets = sets_with_atoms(sets)
        lock, packages = read_gentoo_lock(require_record(tree) / LOCK_FILE), wanted_atoms(sets, layout.family)
    else:
        lock, packages = recorded_lock(tree), tuple(sorted(wanted_names(sets, layout.family, origin.release)))
    return Verification(
        tree=tree,
        layout=layout,
        lock=lock,
        packages=packages,
        programs=programs_of(sets, layout.family, origin.release),
        host_links=description.host_links,
        choices=choices_for(layout.family, description.instructions),
        build_places=_BUILD_PLACES,
        undeclared=tuple(sorted(set(origin.sets) - {one.name for one in description.sets})),
        locales=description.locales,
    )
