"""Which revisions a repository keeps, without looking at any object.

A revision is needed for as long as a reader or a replica may be at work on it, that is for a window of time after the
next one took its place. So what counts is when a revision was *replaced*: of a repository that was last published a
year ago and again today, last year's revision has been what everybody read until today. In a list that begins with the
newest, the kept ones are therefore all those younger than the window and the first that is older.

Kept without regard to the window: the current revision, the one before it, what a named tag stands for, and what an
open transaction began from, which its view shows. An automatic tag ends when its revision leaves the window.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.history import TRUNK_PREVIOUS, Tag
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.reflog import Reference, ReferenceType

DEFAULT_KEEP_DAYS = 28
"""Four weeks: longer than any job or replication runs, and time to find out that a publish was a mistake."""

SECONDS_OF_A_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Window:
    """What stays: all that was current after `cutoff` (seconds since 1970), and the `revisions` newest in any case."""

    cutoff: int
    revisions: int = 1

    @classmethod
    def of_days(cls, days: int, now: int, revisions: int = 1) -> Window:
        """The window of the `days` days that end `now`, in seconds since 1970."""
        return cls(now - days * SECONDS_OF_A_DAY, revisions)

    def within(self, newest_first: Iterable[PastRevision]) -> Iterator[PastRevision]:
        """Those of `newest_first` that stay. Takes no more of them than it needs to."""
        for number, one in enumerate(newest_first, 1):
            yield one
            if one.published_at <= self.cutoff and number >= self.revisions:
                return


@dataclass(frozen=True, slots=True)
class PastRevision:
    """A revision as its root catalog describes it; `published_at` is in seconds since 1970."""

    root: Digest
    revision: int
    published_at: int


class Reason(Enum):
    """Why a revision is kept; the value is how it is told."""

    CURRENT = "the current revision"
    PREVIOUS = "the previous revision"
    TAGGED = "a tag"
    OPEN_TRANSACTION = "an open transaction"
    WINDOW = "the window of time"
    UNFINISHED = "the reflog alone"


@dataclass(frozen=True, slots=True)
class KeptRevision:
    """A revision that stays, and why; `name` is that of the tag or transaction where one is the reason."""

    root: Digest
    reason: Reason
    name: str = ""

    @property
    def was_published(self) -> bool:
        """Whether readers may know it. Nothing but the reflog names what a publish that was cut short left."""
        return self.reason is not Reason.UNFINISHED


@dataclass(frozen=True, slots=True)
class Retention:
    """What stays, and which tags end.

    `since` is when the oldest revision of the window was published, in seconds since 1970. Histories, certificates and
    meta-informations that the reflog recorded from then on belong to what readers may be at work on.
    """

    kept: tuple[KeptRevision, ...]
    expired_tags: tuple[Tag, ...]
    since: int


def revisions_to_keep(
    manifest: Manifest,
    tags: Collection[Tag],
    references: Collection[Reference],
    chain: Iterable[PastRevision],
    window: Window,
    bases: Collection[KeptRevision] = (),
) -> Retention:
    """Decides from the `tags`, the reflog's `references` and the `chain` of revisions, the current one first.

    `bases` are what open transactions began from."""
    recent = list(window.within(chain))
    roots = {one.root for one in recent}
    since = min([window.cutoff, *(one.published_at for one in recent)])
    expired = tuple(
        tag for tag in tags if tag.is_automatic and tag.timestamp <= since and tag.root_catalog not in roots
    )
    kept = {manifest.root_catalog: KeptRevision(manifest.root_catalog, Reason.CURRENT)}
    for tag in tags:
        if not tag.is_automatic:
            reason = Reason.PREVIOUS if tag.name == TRUNK_PREVIOUS else Reason.TAGGED
            kept.setdefault(tag.root_catalog, KeptRevision(tag.root_catalog, reason, tag.name))
    for base in bases:
        kept.setdefault(base.root, base)
    young = [tag.root_catalog for tag in tags if tag.is_automatic and tag not in expired]
    for root in [*(one.root for one in recent), *young]:
        kept.setdefault(root, KeptRevision(root, Reason.WINDOW))
    for reference in references:
        if reference.type is ReferenceType.ROOT_CATALOG and reference.timestamp > since:
            kept.setdefault(reference.digest, KeptRevision(reference.digest, Reason.UNFINISHED))
    return Retention(tuple(kept.values()), expired, since)


def references_to_forget(
    references: Collection[Reference], manifest: Manifest, kept: Collection[KeptRevision], since: int
) -> tuple[Reference, ...]:
    """The entries of the reflog that go: root catalogs that are not `kept`, and histories, certificates and
    meta-informations from before `since` that `manifest` does not name."""
    roots = {one.root for one in kept}
    named = {manifest.history, manifest.certificate, manifest.metainfo}

    def stays(reference: Reference) -> bool:
        if reference.type is ReferenceType.ROOT_CATALOG:
            return reference.digest in roots
        return reference.timestamp >= since or reference.digest in named

    return tuple(reference for reference in references if not stays(reference))
