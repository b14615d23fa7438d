"""Every catalog of the revisions that are looked at, each once, and the rules that hold between catalogs."""

from __future__ import annotations

from dataclasses import dataclass, field

from outcrop.cvmfs.catalog import Catalog, CatalogReference
from outcrop.cvmfs.catalog_edit import plain_directory
from outcrop.cvmfs.counters import COUNTER_NAMES, Counts
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.objects import MANIFEST_NAME, ObjectKind, ObjectName
from outcrop.cvmfs.paths import ROOT, RepositoryPath, shown
from outcrop.errors import FormatError
from outcrop.progress import Progress
from outcrop.stratum0.check.catalogs import CatalogFacts, check_catalog
from outcrop.stratum0.check.findings import Findings
from outcrop.stratum0.check.problems import Kind
from outcrop.stratum0.check.reading import ObjectReader
from outcrop.stratum0.check.records import TaggedRoot
from outcrop.stratum0.check.references import References

Key = tuple[Digest, RepositoryPath]


@dataclass(frozen=True, slots=True)
class RootFacts:
    """The figures of a catalog that its successor, tags and references must agree with. `size` is in bytes."""

    size: int
    revision: int
    last_modified: int


@dataclass(slots=True)
class Forest:
    """The catalogs seen so far, by digest and mountpoint; None for one that could not be read."""

    reader: ObjectReader
    references: References
    findings: Findings
    thoroughly: bool
    progress: Progress
    catalogs: dict[Key, CatalogFacts | None] = field(default_factory=dict)
    _figures: dict[Digest, RootFacts | None] = field(default_factory=dict)

    def add_tree(self, root: Digest, size: int = 0) -> CatalogFacts | None:
        """Looks at the tree below the root catalog `root`, as far as it was not looked at before."""
        pending = [CatalogReference(ROOT, root, size)]
        while pending:
            facts = self.look(pending.pop())
            if facts is not None:
                pending += [one for one in facts.nested if (one.digest, one.path) not in self.catalogs]
        return self.catalogs[root, ROOT]

    def look(self, reference: CatalogReference) -> CatalogFacts | None:
        """The catalog that `reference` names, looked at now if it was not before."""
        key = (reference.digest, reference.path)
        if key not in self.catalogs:
            self.catalogs[key] = self._look(reference)
            self.progress.advance(1, shown(reference.path))
        return self.catalogs[key]

    def _look(self, reference: CatalogReference) -> CatalogFacts | None:
        name = ObjectName(reference.digest, ObjectKind.CATALOG)
        image = self.reader.inflated(name, path=reference.path, size=reference.size or None)
        if image is None:
            return None
        facts = check_catalog(
            image, reference.digest, reference.path, self.findings, self.references, thoroughly=self.thoroughly
        )
        if facts is not None:
            self._figures[reference.digest] = RootFacts(facts.size, facts.revision, facts.last_modified)
        return facts

    def figures(self, digest: Digest, path: RepositoryPath) -> RootFacts | None:
        """The figures of a catalog, read for them alone if it was not looked at; None if it cannot be read."""
        if digest not in self._figures:
            name = ObjectName(digest, ObjectKind.CATALOG)
            image = self.reader.inflated(name, path=path)
            self._figures[digest] = None if image is None else self._figures_of(image, name)
        return self._figures[digest]

    def _figures_of(self, image: bytes, name: ObjectName) -> RootFacts | None:
        with self.findings.malformed(Kind.CATALOG, name=name.path), Catalog.parse(image) as catalog:
            properties = catalog.properties
            return RootFacts(len(image), properties.revision, properties.last_modified)
        return None

    def check_head(self, manifest: Manifest) -> None:
        """The manifest and its root catalog say the same."""
        head = self.catalogs.get((manifest.root_catalog, ROOT))
        if head is None:
            return
        for what, said, true in (
            ("revision", manifest.revision, head.revision),
            ("time to live", manifest.ttl, head.ttl),
            ("size", manifest.root_catalog_size or head.size, head.size),
        ):
            if said != true:
                detail = f"says {said} for the {what} of its root catalog, which is {true}"
                self.findings.add(Kind.MANIFEST, detail, name=MANIFEST_NAME)

    def check_tags(self, tagged: list[TaggedRoot], history: str) -> None:
        """Every tag says the size and revision of the root catalog that it names."""
        for tag in tagged:
            figures = self.figures(tag.root_catalog, ROOT)
            if figures is None:
                continue
            if tag.size and tag.size != figures.size:
                detail = (
                    f"says of the tag {tag.tag} a size of {tag.size}, and its root catalog has {figures.size} bytes"
                )
                self.findings.add(Kind.HISTORY, detail, name=history)
            if tag.revision != figures.revision:
                detail = f"says of the tag {tag.tag} revision {tag.revision}, and its root catalog {figures.revision}"
                self.findings.add(Kind.HISTORY, detail, name=history)

    def check_between(self) -> None:
        """Whatever one catalog says of another is so."""
        below: dict[Key, Counts | None] = {}
        # A nested catalog's mountpoint is longer than that of the catalog above it: what is below comes first.
        for key, facts in sorted(self.catalogs.items(), key=lambda item: len(item[0][1]), reverse=True):
            if facts is None:
                continue
            below[key] = self._below(facts, below)
            self._counters(facts, below[key])
            for reference in facts.nested:
                self._pair(facts, reference)
            for reference in facts.bound:
                self._size(facts, reference, self.figures(reference.digest, reference.path))
            self._predecessor(facts)

    def _below(self, facts: CatalogFacts, below: dict[Key, Counts | None]) -> Counts | None:
        """What all catalogs below count together; None where one of them cannot be read."""
        total: Counts | None = Counts()
        for reference in facts.nested:
            child = self.catalogs.get((reference.digest, reference.path))
            deeper = below.get((reference.digest, reference.path))
            total = None if child is None or deeper is None or total is None else total + child.own + deeper
        return total

    def _counters(self, facts: CatalogFacts, below: Counts | None) -> None:
        for prefix, counts in (("self_", facts.own), ("subtree_", below)):
            if counts is None:
                continue
            for name in COUNTER_NAMES:
                said, true = facts.stated.get(prefix + name), getattr(counts, name)
                if said is not None and said != true:
                    self._note(Kind.COUNTERS, f"its counter {prefix}{name} is {said}, and there are {true}", facts)

    def _pair(self, facts: CatalogFacts, reference: CatalogReference) -> None:
        child = self.catalogs.get((reference.digest, reference.path))
        if child is None:
            return
        self._size(facts, reference, RootFacts(child.size, child.revision, child.last_modified))
        mountpoint, root = facts.mountpoints.get(reference.path), child.root
        if mountpoint is not None and root is not None and plain_directory(mountpoint) != plain_directory(root):
            detail = "is not the same in its catalog and in the one above"
            self.findings.add(Kind.NESTING, detail, path=reference.path, catalog=facts.path)

    def _size(self, facts: CatalogFacts, reference: CatalogReference, figures: RootFacts | None) -> None:
        if figures is not None and reference.size != figures.size:
            detail = f"is a catalog of {figures.size} bytes, and {reference.size} are said above"
            self.findings.add(Kind.NESTING, detail, path=reference.path, catalog=facts.path)

    def _predecessor(self, facts: CatalogFacts) -> None:
        """A catalog has a higher revision, and no earlier time, than the one it replaced, if that is still there."""
        if facts.previous is None:
            return
        before = self._figures.get(facts.previous) or self._old_figures(facts.previous)
        if before is None:
            return
        if facts.revision <= before.revision:
            self._note(Kind.CATALOG, f"is revision {facts.revision} after revision {before.revision}", facts)
        if facts.last_modified < before.last_modified:
            self._note(Kind.CATALOG, "was modified before the catalog that it replaced", facts)

    def _old_figures(self, digest: Digest) -> RootFacts | None:
        """The figures of a catalog that nothing refers to any more. What is wrong with it is nobody's concern."""
        name = ObjectName(digest, ObjectKind.CATALOG)
        if not self.reader.store.exists(name.path):
            return None
        aside = ObjectReader(self.reader.store, Findings(), None)
        image = aside.inflated(name)
        if image is None:
            return None
        try:
            with Catalog.parse(image) as catalog:
                return RootFacts(len(image), catalog.properties.revision, catalog.properties.last_modified)
        except FormatError:
            return None

    def _note(self, kind: Kind, detail: str, facts: CatalogFacts) -> None:
        name = ObjectName(facts.digest, ObjectKind.CATALOG).path
        self.findings.add(kind, detail, catalog=facts.path, name=name)
