"""Which ways work on a node, best first, judged from findings alone.

A way works when everything that it needs was found to work. Of several obstacles, the first is told: what it needs is
listed in the order in which it is needed. A relocated copy needs nothing of the kernel, so where no other way works,
that one is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from outcrop.client.ladder.findings import Finding, Topic
from outcrop.client.ladder.ways import Obstacle, Way

_NAMESPACE = (Topic.MOUNT_NAMESPACES, Topic.BIND_MOUNTS, Topic.NEW_ROOT)
_NEEDS: Mapping[Way, tuple[tuple[Topic, ...], ...]] = {
    Way.MOUNTED: ((Topic.CVMFS,),),
    Way.EROFS: ((Topic.FUSE_DEVICE, *_NAMESPACE, Topic.EROFS, Topic.LAYERS),),
    Way.OVERLAY: ((Topic.FUSE_DEVICE, Topic.USER_NAMESPACES, Topic.USER_LAYERS),),
    Way.FUSE: ((Topic.FUSE_DEVICE, *_NAMESPACE, Topic.FUSE_IN_NAMESPACE),),
    Way.FUSERMOUNT: ((Topic.FUSERMOUNT, *_NAMESPACE), (Topic.FUSERMOUNT, Topic.BUBBLEWRAP)),
    Way.CHECKOUT: ((Topic.CACHE, *_NAMESPACE),),
    Way.CONTAINER: ((Topic.CACHE, Topic.BUBBLEWRAP), (Topic.CACHE, Topic.APPTAINER)),
    Way.RELOCATED: ((Topic.CACHE, Topic.RELOCATION),),
    Way.PRELOAD: ((Topic.CACHE, Topic.PRELOAD),),
    Way.PROOT: ((Topic.CACHE, Topic.PROOT),),
}
"""What each way needs, in order; where there are several lists, one of them is enough."""


@dataclass(frozen=True, slots=True)
class RankedWay:
    """A way, and why it cannot be taken (`obstacle`, None if it can)."""

    way: Way
    obstacle: Obstacle | None

    @property
    def works(self) -> bool:
        return self.obstacle is None


def assess(findings: Sequence[Finding]) -> tuple[RankedWay, ...]:
    """Every way, best first. What was not looked at is no obstacle."""
    by_topic = {finding.topic: finding for finding in findings}
    return tuple(RankedWay(way, _obstacle(_NEEDS[way], by_topic)) for way in Way)


def _obstacle(alternatives: Sequence[Sequence[Topic]], by_topic: Mapping[Topic, Finding]) -> Obstacle | None:
    first: Obstacle | None = None
    for needs in alternatives:
        missing = [by_topic[topic] for topic in needs if topic in by_topic and not by_topic[topic].works]
        if not missing:
            return None
        first = first or Obstacle(f"{missing[0].topic.value}: {missing[0].sentence}", missing[0].hint)
    return first
