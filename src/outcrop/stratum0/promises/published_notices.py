"""The notices in the tree of a revision: read from it, and written into the next with the stubs that they ask for."""

from __future__ import annotations

import shlex
import stat
from collections.abc import Callable
from datetime import datetime

from outcrop.cvmfs.catalog_diff import Effect
from outcrop.cvmfs.compression import Compression, inflate
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.entry import Entry, Mark
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.notices import MAXIMUM_NOTICES_BYTES, NO_NOTICES, NOTICES_PATH, Notices
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.cvmfs.paths import RepositoryPath, ancestors, name, shown
from outcrop.errors import AlreadyExists, FormatError, IntegrityError
from outcrop.stratum0.catalogs.catalog_tree import CatalogTree
from outcrop.stratum0.create import DIRECTORY_BYTES
from outcrop.stratum0.promises.keeping import PublishedTree
from outcrop.stratum0.promises.notice_edits import EditNotices, settled
from outcrop.stratum0.publishing.change import ChangeSummary
from outcrop.stratum0.publishing.content_index import StoredContent
from outcrop.stratum0.repository import OwnedRepository

StoreText = Callable[[bytes], StoredContent]
"""Stores the content of a short file."""

_FILE_MODE = stat.S_IFREG | 0o644
_DIRECTORY_MODE = stat.S_IFDIR | 0o755


def load_notices(repository: OwnedRepository, tree: CatalogTree) -> Notices:
    """The notices of the revision `tree`; none where it has no file of them.

    Raises IntegrityError and FormatError if the file is damaged or malformed, for nobody may publish over that.
    """
    entry = tree.lookup(NOTICES_PATH)
    if entry is None:
        return NO_NOTICES
    what = f"the file {shown(NOTICES_PATH)} of {repository.name}"
    if not entry.is_file or entry.size > MAXIMUM_NOTICES_BYTES:
        raise FormatError(what=what, field="the entry", problem=f"is no file of at most {MAXIMUM_NOTICES_BYTES} bytes")
    if entry.digest is not None:
        objects = [ObjectName(entry.digest, ObjectKind.FILE)]
    else:
        objects = [ObjectName(chunk.digest, ObjectKind.CHUNK) for chunk in tree.chunks(NOTICES_PATH, entry)]
    return Notices.parse(b"".join(_content(repository, one, entry, what) for one in objects), what)


def _content(repository: OwnedRepository, name: ObjectName, entry: Entry, what: str) -> bytes:
    data = repository.store.read(name.path)
    if Digest.of(data, name.digest.algorithm) != name.digest:
        raise IntegrityError(
            what=f"{repository.store.address}/{name}",
            problem="its bytes do not have the digest in its name",
            hint="bring the file back from a replica or a backup",
        )
    return data if entry.compression is Compression.NONE else inflate(data, what=what, limit=MAXIMUM_NOTICES_BYTES)


def update_notices(
    before: PublishedTree,
    tree: CatalogTree,
    notices: Notices,
    edit: EditNotices | None,
    texts: TextWriter,
    *,
    repository: RepositoryName,
    now: datetime,
) -> None:
    """Writes what `edit` makes of `notices`, and of the removal of what was due, into `tree`, the next revision.

    `notices` are those of `before`, the revision that `tree` was. Whatever takes something away comes before this.
    """
    wanted = edit(before, notices) if edit is not None else notices
    settlement = settled(before, tree, wanted, repository=repository, now=now)
    for path, text in settlement.stubs.items():
        texts.put(path, text)
    if settlement.notices != notices:
        texts.put(NOTICES_PATH, settlement.notices.encode())


class TextWriter:
    """Puts short files into `tree`, with the directories that lead to them, and tells `changes` about it.

    `store` stores a content. Everything belongs to root and is `now` seconds old since 1970.
    """

    def __init__(self, tree: CatalogTree, changes: ChangeSummary, store: StoreText, now: int) -> None:
        self._tree = tree
        self._changes = changes
        self._store = store
        self._now = now

    def put(self, path: RepositoryPath, data: bytes) -> None:
        """Makes the file at `path` hold `data`; AlreadyExists if what leads there is no directory, or it is one."""
        for directory in ancestors(path):
            entry = self._tree.lookup(directory)
            if entry is not None and not entry.is_directory:
                raise _in_the_way(directory, "no directory")
            if entry is None:
                new = Entry(name(directory), _DIRECTORY_MODE, DIRECTORY_BYTES, self._now, linkcount=2)
                self._tree.put(directory, new)
                self._changes.note_put(directory, Effect.ADDED)
        self._put_file(path, data)

    def _put_file(self, path: RepositoryPath, data: bytes) -> None:
        old = self._tree.lookup(path)
        if old is not None and old.is_directory:
            raise _in_the_way(path, "a directory")
        content = self._store(data)
        entry = Entry(
            name=name(path),
            mode=_FILE_MODE,
            size=content.size,
            mtime=self._now,
            digest=content.digest,
            algorithm=(content.digest or content.chunks[0].digest).algorithm,
            compression=content.compression,
            marks=Mark.CHUNKED if content.chunks else Mark.NONE,
        )
        self._tree.put(path, entry, content.chunks)
        self._changes.note_put(path, Effect.ADDED if old is None else Effect.CHANGED, size=content.size)


def _in_the_way(path: RepositoryPath, kind: str) -> AlreadyExists:
    return AlreadyExists(
        what=f"{shown(path)}, which is {kind},",
        hint=f"users look there for notices: `--replace {shlex.quote(shown(path))}` first",
    )
