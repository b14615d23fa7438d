"""What a run in a relocated copy writes down for the next one: see `outcrop.client.ladder.run_again`."""

from __future__ import annotations

import os
import time

from outcrop.client.ladder.copies import contents_of as contents_of_copy
from outcrop.client.ladder.copies import record_of as record_of_copy
from outcrop.client.ladder.copies import variables_of
from outcrop.client.ladder.copy_contents import next_look
from outcrop.client.ladder.recent_way import RecentWay
from outcrop.client.ladder.relocated import contents_of as contents_of_place
from outcrop.client.ladder.relocated import record_of as record_of_place
from outcrop.client.ladder.relocated_rung import InRelocatedCopy
from outcrop.client.ladder.request import RunRequest
from outcrop.client.ladder.run_again import KnownRun
from outcrop.client.ladder.rung import Become
from outcrop.client.ladder.surroundings import surroundings
from outcrop.client.recent_proof import LONGEST_SECONDS, Proved
from outcrop.client.stamps import stamp_of


def known_run(start: Become, recent: RecentWay | None) -> KnownRun | None:
    """What the run that `start` begins has found out; None where it does not run in a relocated copy, or nothing proves
    for how long. `recent` is the memory of the way, None where the way was asked for."""
    if not isinstance(start, InRelocatedCopy):
        return None
    request, now = start.request, time.time()
    proved = _proved(request, now)
    if proved is None:
        return None
    ends = [proved.until, next_look(contents_of_copy(start.copy)), next_look(contents_of_place(start.place))]
    if recent is not None:
        ends.append(recent.until())
    records = (record_of_copy(start.copy), record_of_place(start.place))
    names = map(os.fsdecode, variables_of(start.copy))
    return KnownRun(
        prefix=str(request.prefix),
        place=str(start.place),
        copy=str(start.copy),
        files={**proved.files, **{str(path): stamp_of(path) for path in records}},
        variables={name: request.environment.get(name) for name in names},
        at=now,
        until=min(ends),
        seen="" if recent is None else surroundings(request.environment),
    )


def _proved(request: RunRequest, now: float) -> Proved | None:
    root = request.choice.root_catalog
    if root is not None:
        # A revision that is asked for by its digest stays what it is; what its links are filled in from may change.
        configured = {str(path): stamp_of(path) for path in request.places()}
        return Proved(root.text, now, now + LONGEST_SECONDS, configured)
    return None if request.recent is None else request.recent.kept()
