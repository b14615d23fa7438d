"""The layers that show at a mountpoint, and how the next ones take their place.

The next revision's layers are put together beside what shows, mounted beneath it, and uncovered: nobody finds the
place empty. Whoever has a file open, or works in a directory, stays with the layers that it belongs to for as long as
he likes; the process that fetches their missing files serves them until the kernel says that nobody is left.

What the cache holds is compared with its proofs at every look for a new revision. When something was damaged, it is
thrown away and the layers are put together anew, since the kernel may still know the damaged file.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from outcrop.client.ladder.kept_layers import KeptLayers, Wanted
from outcrop.client.ladder.layer_stack import put
from outcrop.client.ladder.ready_layers import ReadyLayers
from outcrop.client.layered.assembling import Plan, assemble
from outcrop.client.layers.metadata import Listing, Metadata
from outcrop.client.layers.missing_files import FIRST_ENTRY, MissingFiles, Tell, Told
from outcrop.client.layers.missing_session import MissingSession
from outcrop.client.layers.revision_metadata import directory_inode
from outcrop.client.layers.shown_entries import ShownEntries
from outcrop.client.mount.activity import Activity
from outcrop.client.mount.information import INFORMATION_PREFIXES, Asked, information, takes_long
from outcrop.client.mount.inodes import Nodes
from outcrop.client.mount.kernel import MountOptions, unmount
from outcrop.client.mount.mountinfo import LAYERED_SOURCE, mount_at, mounts
from outcrop.client.mount.protocol import ROOT_NODE
from outcrop.client.mount.repository_tree import RepositoryTree
from outcrop.client.mount.succession import LoadedCatalog
from outcrop.client.mount.tree import MountedTree
from outcrop.errors import Busy, NotFound, OutcropError, storage_error

_LOG = logging.getLogger("outcrop.mount")


@dataclass(frozen=True, slots=True)
class LayerSource:
    """Where layers come from: those that are kept, what they must fit, and the cache that is their layer of objects."""

    kept: KeptLayers
    wanted: Wanted
    objects: Path


@dataclass(frozen=True, slots=True)
class NewLayers:
    """What has become of a mount when other layers show: everything, so there is nothing to tell the kernel."""

    catalogs: Mapping[bytes, LoadedCatalog] = field(default_factory=dict)
    summary: str = "as new layers; what is open stays as it is"

    def notices(self) -> Sequence[bytes]:
        return ()


class ShownLayers:
    """The layers of `tree` and of the revisions that follow it, at the mountpoint of `options`. `ended` is called when
    nobody is left who uses any of them."""

    def __init__(
        self, tree: RepositoryTree, source: LayerSource, options: MountOptions, activity: Activity,
        ended: Callable[[], None],
    ) -> None:  # fmt: skip
        self.tree = tree
        self._source = source
        self._options = options
        self._activity = activity
        self._ended = ended
        self._ready = self._made_ready(tree)
        self._serving = 0
        self._lock = threading.Lock()
        self._is_stale = False

    def show(self) -> None:
        """Mounts. Raises as `assemble` does."""
        stack = self._assembled(self.tree, self._ready)
        try:
            put(stack, self._options.mountpoint)
        except OSError as error:
            raise storage_error(error, str(self._options.mountpoint)) from error
        finally:
            os.close(stack)

    def move(self, tree: MountedTree) -> NewLayers:
        """Shows `tree` from now on. OutcropError if that cannot be: then nothing has changed."""
        assert isinstance(tree, RepositoryTree), "what follows a repository's tree is one"
        ready = self._made_ready(tree)
        self._replace(tree, ready)
        self.tree, self._ready = tree, ready
        return NewLayers()

    def verify(self) -> None:
        """Compares the cache with its proofs; where something is damaged, layers without it take the place of these."""
        try:
            damaged = self._ready.verify().thrown_away
            if damaged:
                _LOG.warning("damaged files in the cache: %d; the layers are put together anew", damaged)
                self._is_stale = True
            if self._is_stale:
                ready = self._made_ready(self.tree)
                self._replace(self.tree, ready)
                self._ready, self._is_stale = ready, False
        except OutcropError as error:
            # The next look tries it again.
            self._activity.failed(str(error))
            _LOG.error("%s", error)

    def _made_ready(self, tree: RepositoryTree) -> ReadyLayers:
        return ReadyLayers.make(tree.repository, self._source.kept, self._source.wanted, self._source.objects)

    def _replace(self, tree: RepositoryTree, ready: ReadyLayers) -> None:
        place = self._options.mountpoint
        listed = mounts()
        line = mount_at(os.path.realpath(place), listed)
        if line is None or not line.is_layered:
            raise NotFound(what=f"our mount at {place}", hint="somebody has taken it away, or covered it")
        below = [one.mountpoint for one in listed if one.mountpoint.startswith(f"{line.mountpoint}/")]
        if below:
            raise Busy(what=line.mountpoint, holder=f"a mount at {below[0]}", hint="the next look comes by itself")
        stack = self._assembled(tree, ready)
        try:
            try:
                put(stack, place, beneath=True)
                unmount(place, lazy=True)
            except OSError:
                # Before Linux 6.5 there is a moment without a mount.
                unmount(place, lazy=True)
                put(stack, place)
        except OSError as error:
            raise storage_error(error, str(place)) from error
        finally:
            os.close(stack)

    def _assembled(self, tree: RepositoryTree, ready: ReadyLayers) -> int:
        """A mount of the layers, with its missing files served from now on."""
        root = directory_inode(tree.root())
        entries = ShownEntries(Metadata([root], [Listing(0, 0, (), ())]), FIRST_ENTRY, root.uid, root.gid)
        files = ready.files(entries, self._telling(tree))
        device = -1

        def serve(opened: int) -> None:
            nonlocal device
            device = opened
            self._begin_serving(device, files)

        options = self._options
        plan = Plan(
            str(ready.layer.path), str(ready.objects.absolute()), LAYERED_SOURCE + options.source,
            str(options.mountpoint),
        )  # fmt: skip
        try:
            return assemble(plan, serve)
        except BaseException:
            if device < 0:
                files.close()
            raise

    def _begin_serving(self, device: int, files: MissingFiles) -> None:
        """Answers what is asked of `files` until nobody is left who uses these layers."""
        session = MissingSession(device, files, activity=self._activity)

        def run() -> None:
            try:
                session.run()
            finally:
                with self._lock:
                    self._serving -= 1
                    is_last = not self._serving
                if is_last:
                    self._ended()
                session.close()
                os.close(device)
                files.close()

        with self._lock:
            self._serving += 1
        threading.Thread(target=run, name="missing", daemon=True).start()

    def _telling(self, tree: RepositoryTree) -> Tell:
        """What the root of the mount tells of itself; see `outcrop.client.mount.information`."""
        node = Nodes(tree).node(ROOT_NODE)

        def tell(name: bytes) -> Told:
            if not name.startswith(INFORMATION_PREFIXES):
                return None
            asked = Asked(tree, node, self._activity, ROOT_NODE)
            return (lambda: information(asked, name)) if takes_long(name) else information(asked, name)

        return tell
