"""What the machine on which tests run has not, so that a whole verification cannot be made there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from outcrop.compat.family import this_family
from outcrop.compat.record import recorded_layout
from outcrop.compat.sealed_root import sealed_root
from outcrop.compat.verify.instructions import lacks_decoder
from outcrop.compat.verify.musl_root import make_musl_root
from outcrop.compat.verify.oldest import emulated
from outcrop.compat.verify.report import Means
from outcrop.errors import MissingCapability
from outcrop.strace.run import find_tracer


def lacking(layer: Path, place: Path) -> set[Means]:
    """What `outcrop compat verify` of `layer` must do without here; tried out in the directory `place`."""
    lacks = {Means.DECODER} if lacks_decoder(this_family()) else set()
    looks: dict[Means, Callable[[], object]] = {
        Means.TRACER: find_tracer,
        Means.MUSL: lambda: make_musl_root(place / "musl", this_family(), {}),
    }
    for means, look in looks.items():
        try:
            look()
        except MissingCapability:
            lacks.add(means)
    if isinstance(emulated(sealed_root(recorded_layout(layer), layer), place / "oldest"), str):
        lacks.add(Means.QEMU)
    return lacks
