"""Takes trees in: contents into objects, entries into a staging area. No catalog is looked at."""

from __future__ import annotations

import stat
from collections import deque
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Algorithm
from outcrop.cvmfs.entry import Mark, SoundRow, flags_of
from outcrop.cvmfs.paths import RepositoryPath, is_below, name, shown
from outcrop.errors import InvalidValue
from outcrop.progress import SILENT, Progress
from outcrop.stratum0.create import DIRECTORY_BYTES
from outcrop.stratum0.publishing.content_index import StoredContent
from outcrop.stratum0.publishing.contents import ContentResult, ContentWriter
from outcrop.stratum0.publishing.door import MARKERS, Door
from outcrop.stratum0.publishing.incoming import Incoming, IncomingTree
from outcrop.stratum0.publishing.layering import RESERVED
from outcrop.stratum0.publishing.ownership import Ownership
from outcrop.stratum0.publishing.staging import Staging

WINDOW = 4096
"""How many entries wait for their contents at once: many times what the cores have in hand, and little memory."""

PROGRESS_ENTRIES = 64
"""How many entries are told of at once: nobody reads faster."""


class _Pending(NamedTuple):
    """An entry whose content is on its way into the store."""

    path: RepositoryPath
    incoming: Incoming
    content: ContentResult | None


class Intake:
    """Takes trees in at the path `at`, through `door`, with owners as `ownership` says.

    Contents go to `writer`, but for those of the paths in `aside`, each of which has a writer of its own."""

    def __init__(
        self,
        staging: Staging,
        writer: ContentWriter,
        door: Door,
        *,
        at: RepositoryPath,
        ownership: Ownership,
        aside: Mapping[RepositoryPath, ContentWriter] = MappingProxyType({}),
    ) -> None:
        self._staging = staging
        self._writer = writer
        self._door = door
        self._at = at
        self._ownership = ownership
        self._aside = aside

    def take(self, trees: Iterable[IncomingTree], progress: Progress = SILENT) -> None:
        """Takes in all entries of `trees`; when this returns, all contents are in the store."""
        self._door.require_place(self._at)
        progress.start("contents", None, "files")
        for number, tree in enumerate(trees):
            self._take_tree(tree, number, progress)
        progress.finish()

    def _take_tree(self, tree: IncomingTree, number: int, progress: Progress) -> None:
        pending: deque[_Pending] = deque()
        for count, incoming in enumerate(tree.entries(), start=1):
            path = RepositoryPath(self._at + incoming.path)
            if path.startswith(RESERVED) and any(is_below(path, reserved) for reserved in RESERVED):
                raise InvalidValue(
                    what=shown(path), problem="is kept for the publisher", hint="leave it out; nothing was published"
                )
            admitted = self._door.admit(path, incoming, tree.address)
            content = incoming.store(self._aside.get(path, self._writer)) if incoming.store else None
            pending.append(_Pending(path, admitted, content))
            if len(pending) > WINDOW:
                self._stage(pending.popleft(), tree.address, number)
            if count % PROGRESS_ENTRIES == 0:
                progress.advance(PROGRESS_ENTRIES, detail=shown(path))
        while pending:
            self._stage(pending.popleft(), tree.address, number)

    def _stage(self, one: _Pending, origin: str, tree: int) -> None:
        incoming = one.incoming
        if incoming.link_to is not None:
            self._staging.add_link(one.path, RepositoryPath(self._at + incoming.link_to), tree=tree)
            if name(one.path) in MARKERS:
                self._require_file(one.path, origin)
            return
        content = one.content.value if one.content else None
        row = self._row(name(one.path), incoming, content)
        self._staging.add(one.path, row, content.chunks if content else (), tree=tree, implied=incoming.implied)

    def _require_file(self, path: RepositoryPath, origin: str) -> None:
        """An archive does not say what a hard link is: only what it leads to does, which may be a symbolic link."""
        staged = self._staging.get(path)
        assert staged is not None, path
        self._door.require_possible(path, staged.row.mode, origin)

    def _row(self, entry_name: bytes, incoming: Incoming, content: StoredContent | None) -> SoundRow:
        attributes = incoming.attributes
        mode = attributes.mode
        is_directory = stat.S_ISDIR(mode)
        size = DIRECTORY_BYTES if is_directory else len(incoming.symlink) or incoming.device
        raw, marks, algorithm, compression = None, Mark.NONE, Algorithm.SHA1, Compression.ZLIB
        if content is not None:
            size, compression = content.size, content.compression
            algorithm = (content.digest or content.chunks[0].digest).algorithm
            marks = Mark.CHUNKED if content.chunks else Mark.NONE
            raw = content.digest.raw if content.digest else None
        return SoundRow(
            name=entry_name,
            mode=mode,
            size=size,
            mtime=attributes.mtime,
            mtimens=attributes.mtime_ns,
            uid=self._ownership.users(attributes.uid),
            gid=self._ownership.groups(attributes.gid),
            hardlinks=2 if is_directory else 1,
            hash=raw,
            symlink=incoming.symlink,
            xattr=attributes.xattrs.encode(),
            flags=flags_of(stat.S_IFMT(mode), marks, algorithm, compression),
        )
