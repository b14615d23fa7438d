"""The whole check of a repository, in the order in which one thing leads to the next.

Manifest and whitelist; certificate and meta-information; history and reflog; the catalogs of the current revision and
of every tag; then all objects. Whatever is damaged ends only what depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

from outcrop.cvmfs.catalog import CatalogReference
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.objects import MANIFEST_NAME, ObjectKind, ObjectName
from outcrop.cvmfs.paths import ROOT
from outcrop.cvmfs.signed_text import SignedText
from outcrop.errors import OutcropError
from outcrop.progress import SILENT, Progress
from outcrop.storage.interface import ReadableStore
from outcrop.stratum0.check.catalogs import CatalogFacts
from outcrop.stratum0.check.findings import Findings
from outcrop.stratum0.check.listing import Listing, listing_of
from outcrop.stratum0.check.memory import Forgetful, Memory
from outcrop.stratum0.check.objects import ObjectCheck
from outcrop.stratum0.check.problems import Kind, in_order
from outcrop.stratum0.check.reading import ObjectReader
from outcrop.stratum0.check.records import TaggedRoot, check_history, check_reflog
from outcrop.stratum0.check.references import References
from outcrop.stratum0.check.report import CheckReport, Depth
from outcrop.stratum0.check.signed import Trusted, check_signed
from outcrop.stratum0.check.trees import Forest


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """How to check. Without `tags`, only the current revision's tree is looked at, and that tagged roots are there.

    `suspects` are names of objects that are read in full whatever the depth. `workers` is 0 for as many as fit.
    """

    depth: Depth = Depth.EXISTENCE
    tags: bool = True
    suspects: frozenset[str] = frozenset()
    workers: int = 0


FAST = CheckRequest()
FULL = CheckRequest(Depth.CONTENT)


def check_repository(
    store: ReadableStore,
    trusted: Trusted,
    request: CheckRequest = FAST,
    *,
    memory: Memory | None = None,
    progress: Progress = SILENT,
) -> CheckReport:
    """Everything that is wrong with the repository in `store`. Nothing in it ends the check; nothing is changed.

    Raises NetworkError where a server does not answer, StorageError where a directory cannot be listed.
    """
    with closing(References()) as references:
        return _Check(store, trusted, request, references, memory or Forgetful(), progress).run()


class _Check:
    """One run."""

    def __init__(
        self,
        store: ReadableStore,
        trusted: Trusted,
        request: CheckRequest,
        references: References,
        memory: Memory,
        progress: Progress,
    ) -> None:
        self._store = store
        self._trusted = trusted
        self._request = request
        self._references = references
        self._memory = memory
        self._progress = progress
        self._findings = Findings()
        self._reader = ObjectReader(store, self._findings, references)
        thoroughly = request.depth is Depth.CONTENT
        self._forest = Forest(self._reader, references, self._findings, thoroughly, progress)

    def run(self) -> CheckReport:
        manifest = check_signed(self._reader, self._trusted, self._findings)
        if manifest is None:
            return CheckReport(self._trusted.repository, self._request.depth, in_order(self._findings.problems))
        name = self._trusted.repository
        tagged = check_history(self._reader, manifest, name, self._findings)
        for recorded in check_reflog(self._reader, manifest, name, self._findings):
            self._references.know(recorded, is_read=False)
        revisions = self._check_catalogs(manifest, tagged)
        unreferenced, resumed = self._check_objects(manifest)
        objects, size = self._references.totals()
        catalogs = [facts for facts in self._forest.catalogs.values() if facts is not None]
        problems = in_order(self._findings.problems)
        return CheckReport(
            repository=name,
            depth=self._request.depth,
            problems=problems,
            revision=manifest.revision,
            root_catalog=manifest.root_catalog,
            revisions=revisions,
            catalogs=len(catalogs),
            entries=sum(facts.rows - bool(facts.path) for facts in catalogs),
            objects=objects,
            bytes=size,
            unreferenced=unreferenced,
            resumed=resumed,
            superseded=any(problem.kind is Kind.MISSING for problem in problems) and self._is_superseded(manifest),
        )

    def _check_catalogs(self, manifest: Manifest, tagged: list[TaggedRoot]) -> int:
        """Looks at all trees; returns how many there are."""
        self._progress.start("checking catalogs", self._catalogs_of_head(manifest), unit="catalogs")
        self._forest.add_tree(manifest.root_catalog, manifest.root_catalog_size)
        self._progress.finish()
        roots = dict.fromkeys(tag.root_catalog for tag in tagged if tag.root_catalog != manifest.root_catalog)
        if self._request.tags and roots:
            self._progress.start("checking catalogs of tags", unit="catalogs")
            for root in roots:
                self._forest.add_tree(root)
            self._progress.finish()
        self._forest.check_head(manifest)
        if manifest.history is not None:
            self._forest.check_tags(tagged, ObjectName(manifest.history, ObjectKind.HISTORY).path)
        self._forest.check_between()
        return 1 + (len(roots) if self._request.tags else 0)

    def _catalogs_of_head(self, manifest: Manifest) -> int | None:
        """How many catalogs the root says that there are; None where it cannot be asked."""
        root = self._forest.look(CatalogReference(ROOT, manifest.root_catalog, manifest.root_catalog_size))
        return None if root is None else _stated_catalogs(root)

    def _check_objects(self, manifest: Manifest) -> tuple[int, bool]:
        """Looks at all objects; returns how many nothing refers to, and whether an earlier check was taken up."""
        listing = listing_of(self._store)
        earlier = self._memory.begin(self._subject(manifest))
        full = self._request.depth is Depth.CONTENT
        objects, size = self._references.totals()
        self._progress.start("checking objects", size if full else objects, unit="bytes" if full else "objects")
        unreferenced = 0
        check = ObjectCheck(
            self._store, self._references, listing, self._request.depth, self._request.suspects, self._request.workers
        )
        for outcome in check.run(self._memory, earlier.get, self._progress):
            self._findings.extend(outcome.problems)
            unreferenced += outcome.unreferenced
        self._progress.finish()
        self._memory.end()
        if listing is not None:
            self._note_what_lies_around(listing)
        return unreferenced, bool(earlier)

    def _subject(self, manifest: Manifest) -> Mapping[str, str]:
        """What makes an earlier check one of the same thing."""
        return {
            "repository": self._trusted.repository,
            "store": self._store.address,
            "root": manifest.root_catalog.text,
            "history": manifest.history.text if manifest.history else "",
            "depth": self._request.depth.value,
            "tags": str(self._request.tags),
            "suspects": " ".join(sorted(self._request.suspects)),
        }

    def _note_what_lies_around(self, listing: Listing) -> None:
        for name in listing.elsewhere():
            self._findings.add(Kind.STRAY, "is no object", name=name)
        for directory, number in listing.leftovers().items():
            detail = f"{number:,} {'file' if number == 1 else 'files'} of writers that are at work, or were interrupted"
            self._findings.add(Kind.LEFTOVER, detail, name=directory)

    def _is_superseded(self, manifest: Manifest) -> bool:
        """Whether somebody published meanwhile."""
        try:
            signed = SignedText.parse(self._store.read(MANIFEST_NAME), MANIFEST_NAME)
            return Manifest.parse(signed.text) != manifest
        except OutcropError:
            return False


def _stated_catalogs(root: CatalogFacts) -> int:
    return 1 + root.stated.get("self_nested", 0) + root.stated.get("subtree_nested", 0)
