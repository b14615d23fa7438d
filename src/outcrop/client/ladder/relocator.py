"""What makes relocated copies: the copy is copied once more, and rewritten in place."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from outcrop.client.ladder.relocated import Relocator
from outcrop.errors import InvalidValue, MissingCapability


def the_relocator() -> Relocator:
    """What makes relocated copies."""
    return _relocated_copy


def _relocated_copy(source: Path, place: Path, old_prefix: PurePosixPath, new_prefix: PurePosixPath) -> None:
    # A copy is made once, and used by many runs that need none of this.
    from outcrop.client.ladder.second_copy import second_copy
    from outcrop.client.relocate.plan import plan_relocation
    from outcrop.client.relocate.prefix import prefix
    from outcrop.client.relocate.relocation import relocate

    try:
        original, target = prefix(str(old_prefix)), prefix(str(new_prefix))
    except InvalidValue as error:
        raise MissingCapability(what=str(new_prefix), problem=error.message, hint=error.hint) from error
    with second_copy(source, place):
        relocate(plan_relocation(place, original, target))
