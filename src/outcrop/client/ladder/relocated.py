"""Copies that run from another directory than `/cvmfs/<name>`, for where nothing can be shown there.

Programs name their own place in many ways, and a longer name cannot be written over a shorter one. So a relocated copy
must lie at a path that is no longer than `/cvmfs/<name>`: a short directory among temporary files, or one that the user
names. It belongs to this user alone, is made once, and is found again by the root hash.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Protocol

from outcrop.client.ladder.copies import check_private
from outcrop.client.ladder.copy_contents import write_down
from outcrop.client.ladder.turns import one_at_a_time
from outcrop.errors import MissingCapability, OutcropError, StorageError, storage_error

_SHORTEST_LABEL, _LONGEST_LABEL = 4, 12
"""Characters of the digest that names a copy. Four are enough, since a copy also says in full what it is."""

_TEMPORARY_VARIABLES = ("TMPDIR", "TEMP", "TMP")
"""What says where temporary files belong, the strongest first, as for Python's `tempfile`."""
_PRIVATE = 0o700
_DONE = ".outcrop-copy"
"""The file in a base directory, with the copy's label behind it, that says what the copy is. It is written last."""


class Relocator(Protocol):
    """Writes a copy of a tree that runs from another place."""

    def __call__(self, source: Path, place: Path, old_prefix: PurePosixPath, new_prefix: PurePosixPath) -> None:
        """Fills the empty directory `place` with the tree `source`, in which every mention of `old_prefix` has become
        `new_prefix`, at which the copy will lie. `new_prefix` is no longer than `old_prefix`.

        OutcropError where that cannot be done."""


def place_for(copy: Path, old_prefix: PurePosixPath, chosen: Path | None, environment: Mapping[str, str]) -> Path:
    """Where the relocated copy of `copy` lies, or will: below `chosen`, or below the first short directory.

    MissingCapability where no directory is short enough, or none can be used."""
    refused: OutcropError | None = None
    for base in [chosen] if chosen is not None else _short_directories(environment):
        room = len(str(old_prefix)) - len(str(base)) - 1
        if room < _SHORTEST_LABEL:
            continue
        try:
            check_private(base)
            _check_programs_run(base if base.is_dir() else base.parent)
        except OutcropError as error:
            refused = refused or error
            continue
        label = hashlib.sha256(os.fsencode(copy)).hexdigest()[: min(room, _LONGEST_LABEL)]
        return base / label
    raise MissingCapability(
        what=f"a place for a copy that is no longer than {old_prefix}",
        problem=refused.message if refused else f"{chosen or 'every directory for temporary files'} is too long",
        hint=f"name a directory of yours of at most {len(str(old_prefix)) - _SHORTEST_LABEL - 1} characters: "
        "`outcrop run --relocate-to DIR`",
    )


def _check_programs_run(directory: Path) -> None:
    if os.statvfs(directory).f_flag & os.ST_NOEXEC:
        raise StorageError(what=str(directory), problem="may hold no programs that run (it is mounted noexec)")


def is_there(place: Path, copy: Path) -> bool:
    """Whether `place` holds the relocated form of `copy`, whole."""
    try:
        return record_of(place).read_bytes() == os.fsencode(copy) and place.is_dir()
    except OSError:
        return False


def relocate(copy: Path, place: Path, old_prefix: PurePosixPath, relocator: Relocator) -> None:
    """Makes the relocated form of `copy` at `place`, if it is not there.

    Raises what `relocator` raises, and then leaves neither a half copy nor a lock.

    MissingCapability if another copy has the place, which takes two digests that begin alike."""
    try:
        place.parent.mkdir(mode=_PRIVATE, exist_ok=True)
    except OSError as error:
        raise storage_error(error) from error
    check_private(place.parent)
    lock = place.with_name(f"{_DONE}-{place.name}.lock")
    with one_at_a_time(lock):
        if is_there(place, copy):
            return
        try:
            _relocate(copy, place, old_prefix, relocator)
        except BaseException as error:
            # Who waits for this file and who makes a new one are then at work together: whoever is first is right.
            with suppress(OSError):
                lock.unlink()
            if isinstance(error, OutcropError) and is_there(place, copy):
                return
            raise


def _relocate(copy: Path, place: Path, old_prefix: PurePosixPath, relocator: Relocator) -> None:
    # A copy is made once, and found by all later runs.
    from outcrop.client.checkout_place import unfinished

    record = record_of(place)
    if place.exists():
        if record.exists():
            raise MissingCapability(
                what=str(place),
                problem=f"it is the relocated form of {os.fsdecode(record.read_bytes())}",
                hint=f"remove it (`{shlex.join(('rm', '-r', str(place), str(record)))}`), "
                "or choose another directory with `--relocate-to`",
            )
        raise MissingCapability(
            what=str(place),
            problem="it was left unfinished, or is not ours",
            hint=f"remove it: `rm -r {shlex.quote(str(place))}`",
        )
    with unfinished(place) as unnamed:
        relocator(copy, unnamed, old_prefix, PurePosixPath(place))
        write_down(unnamed, contents_of(place))
        # The record first: a copy without one could not be told from somebody else's directory.
        record.write_bytes(os.fsencode(copy))


def contents_of(place: Path) -> Path:
    """The file that says what `place` holds."""
    return place.with_name(f"{_DONE}-{place.name}.files")


def record_of(place: Path) -> Path:
    """The file that says of which copy `place` is the relocated form."""
    return place.with_name(f"{_DONE}-{place.name}")


def _short_directories(environment: Mapping[str, str]) -> Sequence[Path]:
    """Directories for temporary files, each with a short name of this user's: those that the environment names, then
    those that machines have."""
    user = f"o{os.geteuid():x}"
    chosen = (environment.get(name, "") for name in _TEMPORARY_VARIABLES)
    roots = dict.fromkeys([*filter(os.path.isabs, chosen), "/tmp", "/var/tmp", "/dev/shm"])
    return [Path(root) / user for root in roots]
