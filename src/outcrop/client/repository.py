"""Opening a repository: find a server whose manifest can be trusted, choose a revision, hand out its tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import rsa

from outcrop.client.address import RepositoryAddress, open_store
from outcrop.client.cache_choice import CacheChoice, CacheSettings
from outcrop.client.contents import Contents
from outcrop.client.freshness import FreshManifest, FreshnessSearch
from outcrop.client.freshness_rules import Standing
from outcrop.client.kept_proofs import KeptProofs, ReadingNoted, proofs_among
from outcrop.client.keys import load_keys
from outcrop.client.known_repository import RevisionPin, link_variables
from outcrop.client.network.order_memory import ORDERS_NAME, OrderMemory
from outcrop.client.network.server_order import order_servers
from outcrop.client.network.servers import ServerByProxies, Servers
from outcrop.client.network.settings import NetworkSettings
from outcrop.client.reading_settings import CURRENT, ClientSettings, RevisionChoice
from outcrop.client.state import SeenRevisions, keys_digest
from outcrop.client.tree import Tree
from outcrop.client.trust import (
    MAXIMUM_CERTIFICATE_BYTES,
    NO_BLACKLIST,
    Blacklist,
    Seen,
    TrustedManifest,
    join_blacklists,
    parse_blacklist,
    read_manifest,
    verify_certificate,
    verify_manifest,
    verify_whitelist,
)
from outcrop.cvmfs.catalog import CatalogReference
from outcrop.cvmfs.history import History, Tag
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.objects import MANIFEST_NAME, WHITELIST_NAME, ObjectKind, ObjectName
from outcrop.cvmfs.paths import ROOT
from outcrop.cvmfs.signed_text import MAXIMUM_SIGNED_TEXT_BYTES
from outcrop.errors import FormatError, NetworkError, NotFound, OutcropError, StorageError, TrustError, storage_error
from outcrop.storage.interface import ReadableStore

__all__ = [
    "CURRENT",
    "CacheWishes",
    "ClientSettings",
    "OpenRepository",
    "RevisionChoice",
    "cache_choice",
    "find_current",
    "open_repository",
    "reach_servers",
    "trusted_manifest",
]


@dataclass(frozen=True, slots=True)
class OpenRepository:
    """A repository that is trusted and can be read. Use it as a context, or `close` it.

    `trusted` is the current manifest with its proofs, `root` the root catalog of the revision that `tree` shows,
    `tag` the tag it was chosen by, and it `follows` the repository if nobody chose one. `by_kept_proofs` says that no
    server answered. `notes` are sentences about what had to be mended or done without; more may come while reading."""

    trusted: TrustedManifest
    root: CatalogReference
    tree: Tree
    contents: Contents
    notes: list[str]
    tag: Tag | None = None
    follows: bool = True
    by_kept_proofs: bool = False

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

    While no server answers, the newest revision that this machine has proofs of is opened: what the caches hold of it
    can be read.

    TrustError, NetworkError, FormatError or NotFound when no server has a manifest that can be trusted: the first
    server's own trouble. NotFound for a revision that does not exist."""
    settings = settings or ClientSettings()
    notes: list[str] = []

    def note(text: str) -> None:
        notes.append(text)
        tell(text)

    servers = reach_servers(address, settings, note)
    try:
        trusted, is_kept = _current_or_kept(address, settings, note, servers)
    except BaseException:
        servers.close()
        raise
    caches = cache_choice(address, settings, note)
    external = _reach_external_servers(address, settings, servers, note)
    contents = Contents(servers, caches.open(), external=external, spare_cache=caches.spare, tell=note)
    if choice == CURRENT:
        choice = _pinned(address.pin, trusted.manifest, contents)
    root, tag = _chosen_root(trusted.manifest, choice, contents)
    tree = Tree(contents, root, address.name, variables=link_variables(address))
    tree.entry(ROOT)
    return OpenRepository(trusted, root, tree, contents, notes, tag, choice == CURRENT, is_kept)


def reach_servers(address: RepositoryAddress, settings: ClientSettings, note: Callable[[str], None]) -> Servers:
    """The servers of `address`, in the order that its network settings ask for; none of them is asked for contents."""
    servers = Servers([open_store(server) for server in address.servers], address.network, tell=note)
    _put_in_order(servers, address.network, settings)
    return servers


def _reach_external_servers(
    address: RepositoryAddress, settings: ClientSettings, guides: Servers, note: Callable[[str], None]
) -> Servers:
    """The servers of external files, in order; `guides` are the repository's own, which know where others are."""
    network = address.external_network
    servers = Servers([open_store(server) for server in address.external_servers], network, tell=note)
    _put_in_order(servers, network, settings, guides)
    return servers


def _put_in_order(
    servers: Servers, network: NetworkSettings, settings: ClientSettings, guides: Servers | None = None
) -> None:
    memory = OrderMemory(settings.cache_directory / ORDERS_NAME)
    order_servers(servers, network.order, memory, maximum=network.maximum_servers, guides=guides)


def find_current(
    address: RepositoryAddress,
    settings: ClientSettings,
    note: Callable[[str], None] = lambda _text: None,
    held: Seen | None = None,
    servers: Servers | None = None,
) -> TrustedManifest:
    """The first manifest that can be trusted and is fresh, among the servers of `address`; it is remembered as seen.
    Where `servers` are reached already, the one that showed it is asked first from then on.

    Whoever holds a revision open calls this again to learn of the next one, and says what it has as `held`: that counts
    as seen even where nothing can be remembered. It goes on with that when this raises: TrustError, NetworkError,
    FormatError or NotFound, the first server's own trouble."""
    if servers is None:
        with closing(reach_servers(address, settings, note)) as reached:
            return find_current(address, settings, note, held, reached)
    keys = load_keys(address.keys)
    # Read at every look: whoever forbids something now, means what is open, too.
    settings = replace(settings, blacklist=_blacklist(address, settings))
    memory = _Memory(SeenRevisions(settings.state_directory), address.name, keys_digest(keys), note)
    seen = max((one for one in (memory.recall(), held) if one is not None), key=lambda one: one.rank, default=None)
    in_order = servers.in_order
    found = _first_fresh(in_order, address, keys, seen, settings)
    servers.prefer(in_order[found.server])
    fresh, manifest = found.fresh, found.fresh.trusted.manifest
    if fresh.standing is Standing.BEHIND:
        note(f"no server has revision {fresh.newest} of {address.name} yet, so {manifest.revision} is read")
    memory.remember(fresh.trusted.seen)
    KeptProofs(settings.state_directory, address.name, keys_digest(keys)).keep(manifest.revision, found.proofs)
    return fresh.trusted


def _current_or_kept(
    address: RepositoryAddress, settings: ClientSettings, note: Callable[[str], None], servers: Servers
) -> tuple[TrustedManifest, bool]:
    """What `find_current` finds; while no server answers, the newest manifest that this machine has proofs of, and
    that it is such a one."""
    try:
        return find_current(address, settings, note, servers=servers), False
    except NetworkError as error:
        keys = load_keys(address.keys)
        kept = KeptProofs(settings.state_directory, address.name, keys_digest(keys)).recall()
        if kept is None:
            raise
        settings = replace(settings, blacklist=_blacklist(address, settings))
        seen = _Memory(SeenRevisions(settings.state_directory), address.name, keys_digest(keys), note).recall()
        trusted = _first_fresh([kept], address, keys, seen, settings).fresh.trusted
        note(f"{error}; revision {trusted.manifest.revision} is shown, as far as this machine has it")
        return trusted, True


@dataclass(frozen=True, slots=True)
class _Found:
    """A manifest that is believed, the position of the server that showed it, and the files that prove it."""

    fresh: FreshManifest
    server: int
    proofs: dict[str, bytes]

    @property
    def revision(self) -> int:
        return self.fresh.trusted.manifest.revision


def _first_fresh(
    servers: Sequence[ServerByProxies] | Sequence[ReadableStore],
    address: RepositoryAddress,
    keys: tuple[rsa.RSAPublicKey, ...],
    seen: Seen | None,
    settings: ClientSettings,
) -> _Found:
    """The manifest of the first server that has a current one to be trusted; else the newest of those that are behind.

    What cannot be believed is asked for once more, past the caches on the way: of several proxies, one may have an
    older state than the one that was asked last. Where all fail, the first server's error, or the first one that is
    not of the network."""
    first: OutcropError | None = None
    behind: _Found | None = None
    noted = [ReadingNoted(server) for server in servers]
    others = list(noted)

    def reach(url: str) -> ReadableStore:
        others.append(ReadingNoted(Servers([open_store(url)], address.network).in_order[0]))
        return others[-1]

    def proved(position: int, place: ReadingNoted) -> _Found:
        fresh = search.prove(trusted_manifest(place, address.name, keys, seen, settings), place)
        return _Found(fresh, position, proofs_among(place, others, fresh.record))

    search = FreshnessSearch(noted, seen, settings.now(), settings.blacklist or NO_BLACKLIST, reach)
    try:
        for position, server in enumerate(noted):
            try:
                found = _past_caches_if_need_be(server, partial(proved, position))
            except OutcropError as error:
                # What a server says tells more than that another one says nothing.
                if first is None or (isinstance(first, NetworkError) and not isinstance(error, NetworkError)):
                    first = error
                continue
            if found.fresh.standing is Standing.CURRENT:
                return found
            if behind is None or found.revision > behind.revision:
                behind = found
    finally:
        search.close()
    if behind is not None:
        return behind
    assert first is not None, "an address has at least one server"
    raise first


def _past_caches_if_need_be(place: ReadingNoted, work: Callable[[ReadingNoted], _Found]) -> _Found:
    try:
        return work(place)
    except (TrustError, FormatError):
        past = place.server.past_caches() if isinstance(place.server, ServerByProxies) else None
        if past is None:
            raise
        with suppress(OutcropError):
            return work(ReadingNoted(past))
        raise


def trusted_manifest(
    server: ReadableStore,
    name: RepositoryName,
    keys: tuple[rsa.RSAPublicKey, ...],
    seen: Seen | None,
    settings: ClientSettings,
) -> TrustedManifest:
    """The manifest that `server` has now, after every rule of `outcrop.client.trust` but those of freshness."""
    claimed = read_manifest(_signed_file(server, MANIFEST_NAME), name)
    whitelist = verify_whitelist(_signed_file(server, WHITELIST_NAME), name, keys, settings.now())
    certificate_object = ObjectName(claimed.manifest.certificate, ObjectKind.CERTIFICATE)
    stored = server.read(certificate_object.path, limit=MAXIMUM_CERTIFICATE_BYTES)
    blacklist = settings.blacklist or NO_BLACKLIST
    certificate = verify_certificate(stored, claimed, whitelist, blacklist)
    return verify_manifest(claimed, certificate, seen, blacklist)


class CacheWishes(Protocol):
    """What somebody says of caches: the directory of objects to use (None for the user's own) and its limit in bytes (0
    for none, None where nothing is said). A repository's address does, and the user's own choice."""

    @property
    def cache_directory(self) -> Path | None: ...

    @property
    def cache_limit(self) -> int | None: ...


def cache_choice(
    wishes: CacheWishes,
    settings: ClientSettings,
    tell: Callable[[str], None] = lambda _text: None,
    kept: CacheSettings | None = None,
) -> CacheChoice:
    """The caches to use: where `settings` say, else `wishes`; kept as `kept` says (by default the environment), else
    `wishes`."""
    kept = kept or CacheSettings.from_environment()
    if not kept.limit_is_stated and wishes.cache_limit is not None:
        kept = replace(kept, limit=wishes.cache_limit or None, limit_is_stated=True)
    return CacheChoice(settings.cache_directory, settings.cache or wishes.cache_directory, tell, kept)


def _blacklist(address: RepositoryAddress, settings: ClientSettings) -> Blacklist:
    """What `settings` and the files of the site forbid; StorageError for a file that cannot be read."""
    listed = []
    for path in address.blacklists:
        try:
            listed.append(parse_blacklist(path.read_bytes(), str(path)))
        except OSError as error:
            raise storage_error(error) from error
    return join_blacklists([settings.blacklist or NO_BLACKLIST, *listed])


def _pinned(pin: RevisionPin, manifest: Manifest, contents: Contents) -> RevisionChoice:
    """The revision that the site wants read where nobody asks for another."""
    if pin.moment is None:
        return RevisionChoice(pin.tag, None, pin.root_catalog)
    until = int(pin.moment.timestamp())
    earlier = [tag for tag in _tags(manifest, contents) if tag.timestamp <= until]
    if not earlier:
        raise NotFound(
            what=f"a tag of {manifest.repository} from {pin.moment:%Y-%m-%d %H:%M} UTC or before",
            hint="`CVMFS_REPOSITORY_DATE` in this machine's configuration asks for one",
        )
    newest = max(earlier, key=lambda tag: (tag.timestamp, tag.revision))
    return RevisionChoice(root_catalog=newest.root_catalog)


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
