"""What is verified of a layer that has a record: which packages and programs its sets name, and what they may do."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from pathlib import Path

from outcrop.compat.gentoo.lock import GentooLock
from outcrop.compat.gentoo.lock import read_lock as read_gentoo_lock
from outcrop.compat.gentoo.plan import sets_with_atoms, wanted_atoms
from outcrop.compat.layout import LayerLayout
from outcrop.compat.lock import Lock
from outcrop.compat.owners import GENERATED
from outcrop.compat.package_sets import LayerDescription, wanted_names
from outcrop.compat.package_sets import wanted_programs as programs_of
from outcrop.compat.record import LOCK_FILE, recorded_layout, recorded_lock, recorded_origin, require_record
from outcrop.compat.verify.choices import choices_for
from outcrop.compat.verify.contents import BuildMachine
from outcrop.compat.verify.elsewhere import found_elsewhere
from outcrop.compat.verify.layer import Verification
from outcrop.compat.verify.report import Means
from outcrop.directories import cache_directory

_SCRATCH = "/outcrop-compat-"
"""What is in the paths of the directories in which layers are made."""

_TELLING = re.compile(r"/[^/]+/.+|(?!localhost|/)(?=.*[0-9.-]).{6,}")
"""Paths and names that no package has in its texts by chance."""


def recorded_verification(
    tree: Path,
    description: LayerDescription,
    without: frozenset[Means] = frozenset(),
    systems: Sequence[Path] = (),
) -> Verification:
    """What `verify_layer` needs to know of the layer `tree`, which is declared by `description`. What needs one of
    `without` is not looked at, and it is also tried beside `systems`. NotFound, FormatError, StorageError."""
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
        host_paths=tuple(one.path for one in description.host_paths),
        linked_paths=tuple(one.host for one in description.host_links),
        choices=choices_for(layout.family, description.instructions),
        elsewhere=found_elsewhere(description.libraries),
        machine=_this_machine(tree, layout, None if origin.back_end else GENERATED),
        without=without,
        undeclared=tuple(sorted(set(origin.sets) - {one.name for one in description.sets})),
        locales=description.locales,
        systems=tuple(systems),
    )


def _this_machine(tree: Path, layout: LayerLayout, made: re.Pattern[str] | None) -> BuildMachine:
    """What a layer would have in it of the machine that built it, if that was this one."""
    places = (_SCRATCH, str(tree), str(cache_directory()))
    names = (str(Path.home()), platform.node())
    return BuildMachine(
        tuple(place for place in places if place != str(layout.prefix)),
        tuple(name for name in names if _TELLING.fullmatch(name)),
        made,
    )
