"""What was found out about a node, one finding a question."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """How well something works here."""

    OK = "ok"
    DEGRADED = "degraded"
    NO = "no"


class Topic(Enum):
    """What a finding is about, in the order in which findings are shown."""

    KERNEL = "kernel"
    FUSE_DEVICE = "fuse device"
    FUSERMOUNT = "fusermount3"
    USER_NAMESPACES = "user namespaces"
    MOUNT_NAMESPACES = "mount namespaces"
    BIND_MOUNTS = "bind mounts"
    NEW_ROOT = "new root"
    FUSE_IN_NAMESPACE = "fuse in a namespace"
    OVERLAYFS = "overlayfs"
    EROFS = "erofs"
    LAYERS = "layers"
    USER_LAYERS = "layers of users"
    BUBBLEWRAP = "bubblewrap"
    APPTAINER = "apptainer"
    PODMAN = "podman"
    PROOT = "proot"
    PTRACE = "ptrace"
    PRELOAD = "preload"
    OPEN_FILES = "open files"
    PROCESSES = "processes"
    LOCKED_MEMORY = "locked memory"
    MEMORY = "memory"
    CACHE = "cache"
    CVMFS = "/cvmfs"
    RELOCATION = "relocation"
    USERS = "users"
    CLOCK = "clock"
    DNS = "dns"
    SERVERS = "servers"


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one question: `sentence` says it without a full stop, `hint` what to do about it."""

    topic: Topic
    state: State
    sentence: str
    hint: str = ""

    @property
    def works(self) -> bool:
        return self.state is not State.NO


def ok(topic: Topic, sentence: str) -> Finding:
    """It works."""
    return Finding(topic, State.OK, sentence)


def degraded(topic: Topic, sentence: str, hint: str = "") -> Finding:
    """It works, with less than one would wish."""
    return Finding(topic, State.DEGRADED, sentence, hint)


def no(topic: Topic, sentence: str, hint: str = "") -> Finding:
    """It does not work."""
    return Finding(topic, State.NO, sentence, hint)
