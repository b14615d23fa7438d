"""A revision, or part of it, as plain files: fetched in parallel, verified, and there all at once or not at all.

Symbolic links are copied as they were published. A variant link (`$(NAME)/…`) is a question that each client answers;
a copy may be made on one machine and used on another, so the answer is only filled in on request.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from outcrop.client.checkout_place import unfinished
from outcrop.client.checkout_plan import CheckoutPlan
from outcrop.client.checkout_writer import TreeWriter
from outcrop.client.contents import Contents
from outcrop.client.owners import AS_THEY_ARE, MappedOwners
from outcrop.client.tree import Located, Tree
from outcrop.errors import StorageError, storage_error
from outcrop.progress import SILENT, Progress


@dataclass(frozen=True, slots=True)
class CheckoutOptions:
    """`expand_links`: the settings by which variant links are filled in, None to keep them as they are. `owner`: set
    the users and groups that the repository says, which only root can; `owners` says what becomes of them here."""

    expand_links: Mapping[bytes, bytes] | None = None
    owner: bool = False
    owners: MappedOwners = AS_THEY_ARE


DEFAULT_OPTIONS = CheckoutOptions()


def checkout(
    plan: CheckoutPlan,
    tree: Tree,
    contents: Contents,
    destination: Path,
    options: CheckoutOptions = DEFAULT_OPTIONS,
    progress: Progress = SILENT,
    tell: Callable[[str], None] = lambda _text: None,
) -> None:
    """Writes what `plan` lists to `destination`, which must not exist or be an empty directory.

    Kept are modes, times (to the nanosecond where the repository has them), links, attributes as far as this user and
    file system can; `tell` hears what was left out. `progress` advances by bytes. AlreadyExists before anything is
    written; StorageError when the disk is full; whatever fails, nothing is left behind."""
    entries: Sequence[Located] = plan.entries
    if options.expand_links is not None:
        entries = expanded_links(entries, tree, options.expand_links)
    if options.owner and not options.owners.change_nothing:
        entries = _owned(entries, options.owners)
    with unfinished(destination) as place:
        check_space(place, plan.size)
        progress.start("Checking out", plan.size, "bytes")
        writer = TreeWriter(
            tree, contents, os.fsencode(place), top=plan.path, owner=options.owner, progress=progress
        )  # fmt: skip
        written = writer.write(entries)
        writer.finish()
        progress.finish()
    tell_left_out(written.left_out, tell)


def _owned(entries: Sequence[Located], owners: MappedOwners) -> tuple[Located, ...]:
    """`entries` with the users and groups that `owners` say."""
    return tuple(
        located._replace(
            entry=replace(located.entry, uid=owners.uid(located.entry.uid), gid=owners.gid(located.entry.gid))
        )
        for located in entries
    )


def expanded_links(
    entries: Sequence[Located], tree: Tree, settings: Mapping[bytes, bytes]
) -> tuple[Located, ...]:  # fmt: skip
    """`entries` with every variant link filled in from `settings`."""
    return tuple(
        located._replace(entry=replace(located.entry, symlink=tree.symlink_target(located.entry, settings)))
        if located.entry.is_symlink
        else located
        for located in entries
    )


def tell_left_out(
    left_out: Counter[str], tell: Callable[[str], None], who: str = "this user or file system"
) -> None:  # fmt: skip
    """Says what a copy lacks, and who cannot keep it."""
    for what, count in sorted(left_out.items()):
        tell(f"{what} was left out of the copy ({count} times): {who} cannot keep it")


def check_space(place: Path, size: int) -> None:
    """Refuses at once what cannot fit beside `place`, instead of after an hour."""
    try:
        status = os.statvfs(place)
    except OSError as error:
        raise storage_error(error) from error
    free = status.f_bavail * status.f_frsize
    if size > free:
        raise StorageError(
            what=str(place.parent),
            problem=f"has room for {free:,} bytes, and the files need {size:,}",
            hint="free some space, choose another directory, or a part of the tree with `--path`",
        )
