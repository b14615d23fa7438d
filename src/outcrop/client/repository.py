"""Opening a repository: find a server whose manifest can be trusted, choose a revision, hand out its tree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from cryptography.hazmat.primitives.asymmetric import rsa

from outcrop import directories
from outcrop.client.address import RepositoryAddress, open_store
from outcrop.client.cache_choice import CacheChoice
from outcrop.client.contents import Contents
from outcrop.client.keys import load_keys
from outcrop.client.state import SeenRevisions, keys_digest
from outcrop.client.tree import Tree
from outcrop.client.trust import (
    MAXIMUM_CERTIFICATE_BYTES,
    NO_BLACKLIST,
    Blacklist,
    Seen,
    TrustedManifest,
    read_manifest,
    verify_certificate,
    verify_manifest,
    verify_whitelist,
)
from outcrop.cvmfs.catalog import CatalogReference
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.history import History, Tag
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.objects import MANIFEST_NAME, WHITELIST_NAME, ObjectKind, ObjectName
from outcrop.cvmfs.paths import ROOT
from outcrop.cvmfs.signed_text import MAXIMUM_SIGNED_TEXT_BYTES
from outcrop.errors import InvalidValue, NotFound, OutcropError, StorageError
from outcrop.storage.interface import ReadableStore


@dataclass(frozen=True, slots=True)
class RevisionChoice:
    """Which revision to read: the current one unless one of the three says otherwise."""

    tag: str = ""
    revision: int | None = None
    root_catalog: Digest | None = None

    def __post_init__(self) -> None:
        if sum((bool(self.tag), self.revision is not None, self.root_catalog is not None)) > 1:
            raise InvalidValue(
                what="the choice of a revision",
                problem="says several things",
                hint="use one of `--tag`, `--revision` and `--root-hash`",
            )


CURRENT = RevisionChoice()


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """How to read: `cache` is the directory of objects (None for this user's), `state_directory` remembers what was
    seen, `now` tells the time in UTC."""

    cache: Path | None = None
    cache_directory: Path = field(default_factory=directories.cache_directory)
    state_directory: Path = field(default_factory=directories.state_directory)
    blacklist: Blacklist = NO_BLACKLIST
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class OpenRepository:
    """A repository that is trusted and can be read. Use it as a context, or `close` it.

    `trusted` is the current manifest with its proofs, `root` the root catalog of the revision that `tree` shows,
    `tag` the tag it was chosen by. `notes` are sentences about what had to be mended or done without; more may come
    while reading."""

    trusted: TrustedManifest
    root: CatalogReference
    tree: Tree
    contents: Contents
    notes: list[str]
    tag: Tag | None = None

    @property
    def name(self) -> RepositoryName:
        return self.trusted.manifest.repository

    @property
    def manifest(self) -> Manifest:
        return self.trusted.manifest

    @property
    def server(self) -> str:
        """The address of the server that is asked first."""
        return self.contents.server.address

    def tags(self) -> list[Tag]:
        """The tags, the newest revision first; NotFound if the repository keeps none."""
        return _tags(self.manifest, self.contents)

    def close(self) -> None:
        self.tree.close()
        self.contents.close()

    def __enter__(self) -> OpenRepository:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def open_repository(
    address: RepositoryAddress,
    settings: ClientSettings | None = None,
    choice: RevisionChoice = CURRENT,
    tell: Callable[[str], None] = lambda _text: None,
) -> OpenRepository:
    """The repository at `address`. `tell` hears every note as it arises; they are kept in `notes` as well.

    TrustError, NetworkError, FormatError or NotFound when no server has a manifest that can be trusted: the first
    server's own trouble. NotFound for a revision that does not exist."""
    settings = settings or ClientSettings()
    notes: list[str] = []

    def note(text: str) -> None:
        notes.append(text)
        tell(text)

    keys = load_keys(address.keys)
    memory = _Memory(SeenRevisions(settings.state_directory), address.name, keys_digest(keys), note)
    servers = [open_store(server) for server in address.servers]
    trusted, ordered = _first_trusted(servers, address.name, keys, memory.recall(), settings)
    memory.remember(trusted.seen)
    caches = CacheChoice(settings.cache_directory, settings.cache, note)
    external = [open_store(server) for server in address.external_servers]
    contents = Contents(ordered, caches.open(), external=external, spare_cache=caches.spare, tell=note)
    root, tag = _chosen_root(trusted.manifest, choice, contents)
    tree = Tree(contents, root, address.name)
    tree.entry(ROOT)
    return OpenRepository(trusted, root, tree, contents, notes, tag)


def _first_trusted(
    servers: list[ReadableStore],
    name: RepositoryName,
    keys: tuple[rsa.RSAPublicKey, ...],
    seen: Seen | None,
    settings: ClientSettings,
) -> tuple[TrustedManifest, list[ReadableStore]]:
    """The manifest of the first server that has one to be trusted, and the servers with that one first."""
    first: OutcropError | None = None
    for server in servers:
        try:
            trusted = trusted_manifest(server, name, keys, seen, settings)
        except OutcropError as error:
            first = first or error
        else:
            return trusted, [server, *(other for other in servers if other is not server)]
    assert first is not None, "an address has at least one server"
    raise first


def trusted_manifest(
    server: ReadableStore,
    name: RepositoryName,
    keys: tuple[rsa.RSAPublicKey, ...],
    seen: Seen | None,
    settings: ClientSettings,
) -> TrustedManifest:
    """The manifest that `server` has now, after every rule of `outcrop.client.trust`."""
    claimed = read_manifest(_signed_file(server, MANIFEST_NAME), name)
    whitelist = verify_whitelist(_signed_file(server, WHITELIST_NAME), name, keys, settings.now())
    certificate_object = ObjectName(claimed.manifest.certificate, ObjectKind.CERTIFICATE)
    stored = server.read(certificate_object.path, limit=MAXIMUM_CERTIFICATE_BYTES)
    certificate = verify_certificate(stored, claimed, whitelist, settings.blacklist)
    return verify_manifest(claimed, certificate, seen, settings.blacklist)


def _signed_file(server: ReadableStore, name: str) -> bytes:
    try:
        return server.read(name, limit=MAXIMUM_SIGNED_TEXT_BYTES)
    except NotFound as error:
        raise NotFound(
            what=f"a repository at {server.address}", hint=f"there is no {name}; check the address"
        ) from error


def _chosen_root(manifest: Manifest, choice: RevisionChoice, contents: Contents) -> tuple[CatalogReference, Tag | None]:
    if choice.root_catalog is not None:
        return CatalogReference(ROOT, choice.root_catalog, 0), None
    if choice.revision == manifest.revision or (not choice.tag and choice.revision is None):
        return CatalogReference(ROOT, manifest.root_catalog, manifest.root_catalog_size), None
    tags = _tags(manifest, contents)
    wanted = [tag for tag in tags if (tag.name == choice.tag if choice.tag else tag.revision == choice.revision)]
    if not wanted:
        what = f"the tag {choice.tag}" if choice.tag else f"a tag for revision {choice.revision}"
        names = ", ".join(tag.name for tag in tags[:_TAGS_IN_A_HINT])
        raise NotFound(what=f"{what} in {manifest.repository}", hint=f"the newest tags are {names}" if names else "")
    return CatalogReference(ROOT, wanted[0].root_catalog, wanted[0].size), wanted[0]


_TAGS_IN_A_HINT = 5


def _tags(manifest: Manifest, contents: Contents) -> list[Tag]:
    if manifest.history is None:
        raise NotFound(what=f"a history of {manifest.repository}", hint="its publisher keeps no tags")
    data = contents.document(ObjectName(manifest.history, ObjectKind.HISTORY))
    with History.parse(data, f"the history of {manifest.repository}") as history:
        return history.tags()


@dataclass(frozen=True, slots=True)
class _Memory:
    """What this machine has seen of one repository. Where nothing can be kept, this run goes on and says so."""

    states: SeenRevisions
    repository: RepositoryName
    keys: str
    note: Callable[[str], None]

    def recall(self) -> Seen | None:
        try:
            return self.states.recall(self.repository, self.keys)
        except StorageError as error:
            self.note(f"{error}, so an old revision cannot be told from a new one in this run")
            return None

    def remember(self, seen: Seen) -> None:
        try:
            self.states.remember(self.repository, self.keys, seen)
        except StorageError as error:
            self.note(f"{error}, so the next run cannot know that revision {seen.revision} has been seen")
