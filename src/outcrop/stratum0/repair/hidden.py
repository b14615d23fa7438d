"""What a damaged catalog hid: the contents of the files below it, read now that it is there again.

A check cannot know what a catalog refers to that it cannot read. So what an earlier one found says nothing of the
contents below, however closely it looked.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing

from outcrop.cvmfs.catalog import CatalogReference
from outcrop.progress import Progress
from outcrop.storage.interface import ReadableStore
from outcrop.stratum0.check.findings import Findings
from outcrop.stratum0.check.memory import Forgetful
from outcrop.stratum0.check.objects import ObjectCheck
from outcrop.stratum0.check.problems import Problem, in_order
from outcrop.stratum0.check.reading import ObjectReader
from outcrop.stratum0.check.references import References
from outcrop.stratum0.check.report import Depth
from outcrop.stratum0.check.trees import Forest


def problems_below(
    store: ReadableStore, catalogs: Iterable[CatalogReference], progress: Progress
) -> tuple[Problem, ...]:
    """What is wrong with the contents of all files in and below `catalogs`, every one of them read in full.

    What is wrong with catalogs themselves is left to a check: one that cannot be read is passed over."""
    with closing(References()) as references:
        passed_over = Findings()
        reader = ObjectReader(store, passed_over, references)
        forest = Forest(reader, references, passed_over, thoroughly=False, progress=progress)
        progress.start("reading catalogs that came back", unit="catalogs")
        pending = list(catalogs)
        while pending:
            facts = forest.look(pending.pop())
            if facts is not None:
                pending += [one for one in facts.nested if (one.digest, one.path) not in forest.catalogs]
        progress.finish()
        _, size = references.totals()
        progress.start("reading what was hidden", size, unit="bytes")
        # Without a listing it reads what is referred to, and nothing else.
        check = ObjectCheck(store, references, listing=None, depth=Depth.CONTENT)
        outcomes = check.run(Forgetful(), lambda _prefix: None, progress)
        problems = in_order([problem for outcome in outcomes for problem in outcome.problems])
        progress.finish()
    return problems
