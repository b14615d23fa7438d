"""A repository that this user owns: its settings, its keys, the store it is published to, and what it says now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from outcrop.cvmfs.catalog import CatalogReference
from outcrop.cvmfs.compression import inflate
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.history import History, Tag
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.objects import MANIFEST_NAME, ObjectKind, ObjectName
from outcrop.cvmfs.paths import ROOT
from outcrop.cvmfs.signed_text import SignedText
from outcrop.errors import IntegrityError, NotFound, TrustError
from outcrop.storage.interface import WritableStore
from outcrop.storage.places import open_store
from outcrop.stratum0.catalogs.catalog_tree import CatalogTree
from outcrop.stratum0.lock import alone_if_free, exclusive, shared
from outcrop.stratum0.publishing.compressors import compression_of, compressor, database_compressor
from outcrop.stratum0.publishing.content_index import ContentIndex
from outcrop.stratum0.publishing.contents import ContentWriter
from outcrop.stratum0.settings import RepositorySettings, load_settings, record_path
from outcrop.stratum0.signing.keys import KeyFiles, SigningKey, load_signing_key

WAIT_SECONDS = 600
"""How long one publisher waits for another to swap the manifest, or for garbage collection."""


@dataclass(frozen=True, slots=True)
class OwnedRepository:
    """Everything that publishing needs. Holding one changes nothing; `exclusively` is for those who write.

    `wait_seconds` is how long it waits for others who hold a lock."""

    settings: RepositorySettings
    keys: KeyFiles
    store: WritableStore
    wait_seconds: float = WAIT_SECONDS

    @classmethod
    def open(cls, data_directory: Path, name: RepositoryName) -> OwnedRepository:
        """The repository `name` of the owner of `data_directory`; NotFound if there is none."""
        settings = load_settings(data_directory, name)
        try:
            store = open_store(settings.storage)
        except NotFound as error:
            raise NotFound(
                what=f"the storage {settings.storage} of {name}",
                hint=f"mount it, or say in {record_path(data_directory, name)} where it is",
            ) from error
        return cls(settings, KeyFiles(data_directory, name), store)

    @property
    def name(self) -> RepositoryName:
        return self.settings.repository

    @contextmanager
    def writing_objects(self) -> Iterator[None]:
        """The block may write objects, while others do too: none of them is swept away before the block ends.

        What an interrupted writer left is taken away first, if no other writer is at work."""
        with alone_if_free(self._objects_lock) as alone:
            if alone:
                self.store.discard_leftovers()
        with shared(self._objects_lock, f"the store of {self.name}", wait_seconds=self.wait_seconds):
            yield

    @contextmanager
    def removing_objects(self) -> Iterator[None]:
        """The block may remove objects that nothing refers to: nobody writes objects meanwhile."""
        with exclusive(self._objects_lock, f"the store of {self.name}", wait_seconds=self.wait_seconds):
            self.store.discard_leftovers()
            yield

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        """The block runs as the only one that changes what the repository says. Within
        `writing_objects` or `removing_objects` only."""
        path = self.keys.directory / f"{self.name}.lock"
        with exclusive(path, f"the repository {self.name}", wait_seconds=self.wait_seconds):
            yield

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """`writing_objects` and `exclusively`, for changes that are quickly made."""
        with self.writing_objects(), self.exclusively():
            yield

    @property
    def _objects_lock(self) -> Path:
        return self.keys.directory / f"{self.name}.objects.lock"

    def signing_key(self) -> SigningKey:
        return load_signing_key(self.keys)

    def manifest(self, key: SigningKey) -> Manifest:
        """What the repository says now; TrustError if `key` did not sign it."""
        what = f"{self.store.address}/{MANIFEST_NAME}"
        signed = SignedText.parse(self.store.read(MANIFEST_NAME), what)
        manifest = Manifest.parse(signed.text)
        if not key.is_ours(signed) or manifest.repository != self.name:
            raise TrustError(
                what=what,
                problem=f"it was not signed for {self.name} by {self.keys.signing_key.name}",
                hint="somebody else publishes there, or the key was replaced; nothing was changed",
            )
        return manifest

    def content_index(self) -> ContentIndex:
        """What was stored before: a file in the data directory, which may be deleted at any time."""
        settings = self.settings
        return ContentIndex(
            self.keys.directory / f"{self.name}.contents",
            repr((settings.storage, settings.algorithm, settings.compressor, settings.chunk_limits)),
            settings.algorithm,
            compression_of(settings.compressor),
        )

    def forget_contents(self) -> None:
        """Lets the next publications look at every file and object anew: something was found damaged or gone."""
        with closing(self.content_index()) as index:
            index.forget()

    def content_writer(self, index: ContentIndex, store: WritableStore | None = None) -> ContentWriter:
        """A writer of file contents with the settings of this repository, into `store` or its own."""
        return ContentWriter(
            store or self.store,
            algorithm=self.settings.algorithm,
            compress=compressor(self.settings.compressor),
            compression=compression_of(self.settings.compressor),
            limits=self.settings.chunk_limits,
            index=index,
        )

    def catalog_tree(self, manifest: Manifest) -> CatalogTree:
        """The catalogs of the revision that `manifest` describes, open for change."""
        root = CatalogReference(ROOT, manifest.root_catalog, manifest.root_catalog_size)
        return CatalogTree(self.load_catalog, root)

    def load_catalog(self, digest: Digest) -> bytes:
        """The database file of a catalog."""
        return self.load_database(digest, ObjectKind.CATALOG)

    def tags(self, manifest: Manifest) -> list[Tag]:
        """The tags in the history that `manifest` names, the newest revision first; none where it names no history."""
        if manifest.history is None:
            return []
        with History.parse(self.load_database(manifest.history, ObjectKind.HISTORY)) as history:
            return history.tags()

    def load_database(self, digest: Digest, kind: ObjectKind) -> bytes:
        """The inflated bytes of a catalog or history; IntegrityError if the object is not what its name says."""
        name = ObjectName(digest, kind)
        data = self.store.read(name.path)
        if Digest.of(data, digest.algorithm) != digest:
            raise IntegrityError(
                what=f"{self.store.address}/{name}",
                problem="its bytes do not have the digest in its name",
                hint="bring the file back from a replica or a backup",
            )
        return inflate(data, what=f"{self.store.address}/{name}")

    def store_database(self, data: bytes, kind: ObjectKind, store: WritableStore | None = None) -> Digest:
        """Stores a database or another compressed object of its own kind; returns its digest."""
        stored = database_compressor(self.settings.compressor)(data)
        digest = Digest.of(stored, self.settings.algorithm)
        (store or self.store).write(ObjectName(digest, kind).path, stored)
        return digest
