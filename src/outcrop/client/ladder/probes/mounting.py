"""What this user may mount: FUSE, namespaces, binds, a new root, overlays, EROFS images. Each is really done, in
namespaces that end at once."""

from __future__ import annotations

import os
import platform
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from outcrop.client.ladder.findings import Finding, Topic, degraded, no, ok
from outcrop.client.ladder.fuse_server import mount_fuse
from outcrop.client.ladder.fusermount import fusermount_obstacle
from outcrop.client.ladder.layer_trial import try_layers
from outcrop.client.ladder.local_host import LocalHost
from outcrop.client.ladder.namespaces import attach_copy, enter_namespaces, enter_user_namespace, show
from outcrop.client.ladder.root_plan import plan_root
from outcrop.client.ladder.system_calls import MountFlag, mount
from outcrop.client.ladder.trial import Outcome, tried
from outcrop.client.ladder.why import read_restrictions, why_no_fuse, why_no_layers, why_no_namespace
from outcrop.client.layers.erofs_image import erofs_image
from outcrop.client.layers.metadata import AttributeSpace, Inode, Listing, Metadata
from outcrop.client.mount.kernel import DEVICE

_SOMETHING = Path("/usr")
_NOWHERE = PurePosixPath("/outcrop-doctor/place")
"""A place that no machine has, so that a new root must be made for it."""

_EMPTY = Metadata([Inode(stat.S_IFDIR | 0o755, nlink=2)], [Listing(0, 0, (), ())])
"""A directory with nothing in it: what the smallest image holds."""

_ARCHITECTURES = frozenset({"x86_64", "aarch64", "riscv64", "ppc64le", "s390x"})


def kernel() -> Finding:
    """Which kernel this is."""
    name = os.uname()
    told = f"{name.sysname} {name.release} on {name.machine}"
    if name.sysname != "Linux":
        return no(Topic.KERNEL, told, "only copies (`outcrop checkout`) work elsewhere than on Linux")
    if platform.machine() not in _ARCHITECTURES:
        return degraded(Topic.KERNEL, f"{told}, on which outcrop has never been tried")
    return ok(Topic.KERNEL, told)


def fuse_device() -> Finding:
    """Whether the FUSE device opens."""
    try:
        os.close(os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        obstacle = why_no_fuse(error)
        return no(Topic.FUSE_DEVICE, obstacle.reason.removeprefix("fuse: "), obstacle.hint)
    return ok(Topic.FUSE_DEVICE, f"{DEVICE} opens")


def fusermount() -> Finding:
    """Whether `fusermount3` mounts for this user."""
    obstacle = fusermount_obstacle()
    if obstacle is not None:
        return no(Topic.FUSERMOUNT, obstacle.reason.removeprefix("fusermount3: "), obstacle.hint)
    return ok(Topic.FUSERMOUNT, "mounts for this user")


def user_namespaces() -> Finding:
    """Whether this user gets a user namespace in which to mount."""
    return _namespace_finding(
        Topic.USER_NAMESPACES, tried(enter_user_namespace), "this user gets one, with a mount namespace in it"
    )


def mount_namespaces() -> Finding:
    """Whether this user gets a mount namespace, with the rights to use it: root by itself, others in a user
    namespace."""
    return _namespace_finding(Topic.MOUNT_NAMESPACES, tried(enter_namespaces), "this user gets one of its own")


def bind_mounts() -> Finding:
    """Whether a directory can be shown at another place, and be made read-only there."""

    def work() -> None:
        enter_namespaces()
        attach_copy(_SOMETHING)(Path("/tmp"))

    return _namespace_finding(Topic.BIND_MOUNTS, tried(work), "a directory can be shown at another place")


def new_root() -> Finding:
    """Whether a repository can be shown where the machine has no directory for it."""

    def work() -> None:
        plan = plan_root(_NOWHERE, LocalHost())
        enter_namespaces()
        show(plan, attach_copy(_SOMETHING))

    return _namespace_finding(Topic.NEW_ROOT, tried(work), "a root with /cvmfs in it can be made")


def fuse_in_namespace() -> Finding:
    """Whether FUSE mounts in a namespace of this user's."""

    def work() -> None:
        enter_namespaces()
        os.close(mount_fuse("outcrop-doctor", Path("/tmp")))

    outcome = tried(work)
    if outcome.succeeded:
        return ok(Topic.FUSE_IN_NAMESPACE, "mounts, without any help")
    return no(Topic.FUSE_IN_NAMESPACE, outcome.problem, "a relocated copy does without: `outcrop run --way relocated`")


def overlayfs() -> Finding:
    """Whether the kernel's overlayfs mounts in a namespace, with the attributes that need no privileges."""

    def work(options: str) -> Callable[[], None]:
        def mount_it() -> None:
            enter_namespaces()
            mount("outcrop", "/tmp", "tmpfs")
            for name in ("lower", "upper", "work", "merged"):
                os.mkdir(f"/tmp/{name}")
            layers = "lowerdir=/tmp/lower,upperdir=/tmp/upper,workdir=/tmp/work"
            mount("outcrop", "/tmp/merged", "overlay", data=layers + options)

        return mount_it

    outcome = tried(work(",userxattr"))
    if outcome.succeeded:
        return ok(Topic.OVERLAYFS, "mounts in a namespace, also with attributes of users")
    if tried(work("")).succeeded:
        return degraded(Topic.OVERLAYFS, f"mounts, but not with attributes of users ({outcome.problem})")
    return no(Topic.OVERLAYFS, f"does not mount in a namespace ({outcome.problem})")


def erofs() -> Finding:
    """Whether the kernel mounts an EROFS image from a plain file."""
    with tempfile.NamedTemporaryFile(prefix="outcrop-doctor-") as image:
        image.write(erofs_image(_EMPTY))
        image.flush()

        def work() -> None:
            enter_namespaces()
            mount(image.name, "/mnt", "erofs", MountFlag.READ_ONLY)

        outcome = tried(work)
    if outcome.succeeded:
        return ok(Topic.EROFS, "an image in a plain file mounts")
    hint = "" if os.geteuid() == 0 else "the kernel lets only root mount images"
    return no(Topic.EROFS, f"an image in a plain file does not mount ({outcome.problem})", hint)


def layers() -> Finding:
    """Whether root's layers show a repository: an image, a cache and what is missing, put together by overlayfs."""
    return _layers_finding(Topic.LAYERS, AttributeSpace.TRUSTED)


def user_layers() -> Finding:
    """Whether layers show a repository in a user namespace."""
    return _layers_finding(Topic.USER_LAYERS, AttributeSpace.USER)


def _layers_finding(topic: Topic, space: AttributeSpace) -> Finding:
    obstacle = why_no_layers(try_layers(space, plan_root(_NOWHERE, LocalHost())), space)
    if obstacle is None:
        return ok(topic, "overlayfs puts metadata, cached objects and missing files together")
    return no(topic, obstacle.reason.partition(": ")[2], obstacle.hint)


def _namespace_finding(topic: Topic, outcome: Outcome, success: str) -> Finding:
    obstacle = why_no_namespace(outcome, read_restrictions())
    if obstacle is None:
        return ok(topic, success)
    return no(topic, obstacle.reason.removeprefix("namespaces: "), obstacle.hint)
