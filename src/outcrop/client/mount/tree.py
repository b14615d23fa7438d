"""What the mount needs to know of one revision of a repository, and nothing more.

The client's tree and contents stand behind this in production, a tree in memory in tests. Every call may come from
several threads at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from outcrop.client.contents import Piece
from outcrop.client.mount.listing import Listing
from outcrop.client.network.state import NO_NETWORK, NetworkState
from outcrop.cvmfs.counters import Counters
from outcrop.cvmfs.entry import Entry


@dataclass(frozen=True, slots=True)
class About:
    """What the information attributes say of the whole mount; empty where it is not known.

    `network` is how the servers are reached, `external` the same for those of external files; `ttl` is in seconds;
    `follows` says whether newer revisions take the place of this one. `cache` is the directory of objects.
    `by_kept_proofs` says that no server answered when it was opened."""

    fqrn: str
    revision: int
    root_hash: str
    tag: str = ""
    network: NetworkState = NO_NETWORK
    external: NetworkState = NO_NETWORK
    public_keys: str = ""
    ttl: int = 0
    follows: bool = False
    cache: str = ""
    by_kept_proofs: bool = False


@dataclass(frozen=True, slots=True)
class CatalogInformation:
    """The catalog that a path lies in: its mountpoint, its digest's text, its statistics."""

    mountpoint: bytes
    digest: str
    counters: Counters


class MountedTree(Protocol):
    """One revision of a repository, as the mount sees it. Paths are `b""` for the root, else `b"/a/b"`.

    `listing`, `catalog`, `pieces`, `fetch`, `open_piece`, `metainfo`, `notices` and `newer` may take as long as the
    network does; they raise OutcropError when it gives up. The others answer at once.
    """

    @property
    def about(self) -> About:
        """What is mounted."""

    def root(self) -> Entry:
        """The root directory's entry."""

    def listing(self, mountpoint: bytes) -> AbstractContextManager[Listing]:
        """The rows of the catalog mounted at `mountpoint`, for as long as the context lasts."""

    def symlink_target(self, entry: Entry) -> bytes:
        """Where the link `entry` leads on this machine."""

    def pieces(self, path: bytes, entry: Entry) -> Sequence[Piece]:
        """The pieces of the file `entry` at `path`: contiguous, from 0 to its size."""

    def open_cached(self, piece: Piece) -> int | None:
        """A descriptor of the plain bytes of `piece` if they are in the cache. The caller closes it."""

    def read_cached(self, piece: Piece, into: memoryview) -> memoryview | None:
        """The plain bytes of `piece`, in the beginning of `into`, if they are in the cache."""

    def open_piece(self, piece: Piece) -> int:
        """A descriptor of the plain bytes of `piece`, fetched if need be. The caller closes it."""

    def fetch(self, pieces: Sequence[Piece]) -> None:
        """Brings `pieces` into the cache, many at once."""

    def catalog(self, path: bytes) -> CatalogInformation:
        """The catalog that `path` lies in, which is in the cache afterwards."""

    def catalogs_loaded(self) -> int:
        """How many catalogs are open."""

    def metainfo(self) -> bytes | None:
        """What the repository says of itself, a JSON document; None if it says nothing."""

    def notices(self) -> Sequence[str]:
        """What is announced to be taken away, a sentence each."""

    def newer(self) -> MountedTree | None:
        """The revision that the repository shows now; None if it is this one, or if this one was asked for by name.

        Besides the network's errors, TrustError and FormatError for what is not to be believed."""

    def takes_over(self, catalogs: Mapping[bytes, str]) -> None:
        """This revision shows from now on; of it, `catalogs` are known by now: digests' texts by mountpoint."""

    def release(self) -> None:
        """Lets go of what can be opened again: another revision shows from now on."""
