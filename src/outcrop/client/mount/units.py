"""Files by which a machine mounts repositories when somebody looks into them: systemd automounts, or autofs.

Both have mount(8) do it, which for a file system of the type `outcrop` starts the program `/sbin/mount.outcrop`. That
is a few lines of shell around `outcrop mount`, and serves `/etc/fstab` as well. Pure: names and texts, no files.

Sources: systemd.mount(5), systemd.automount(5), systemd-escape(1), autofs(5), auto.master(5), mount(8).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from outcrop.errors import InvalidValue

MOUNT_HELPER = "sbin/mount.outcrop"
CUSTOMARY_PLACE = PurePosixPath("/cvmfs")
_UNITS = "etc/systemd/system"
_MAP, _MASTER = "etc/auto.outcrop", "etc/auto.master.d/outcrop.autofs"
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.")
"""What systemd leaves as it is in the name of a unit."""
_UNFIT = frozenset(" \t\n\"'\\$`%*?[],")
"""Characters that mean something in one of these files."""


@dataclass(frozen=True, slots=True)
class GeneratedFile:
    """A file to install: its place below `/`, its mode, its text."""

    path: str
    mode: int
    text: str


@dataclass(frozen=True, slots=True)
class WantedMount:
    """A repository to be mounted on demand: how `outcrop mount` is told of it, where, and its options.

    InvalidValue for what cannot be written into these files."""

    repository: str
    mountpoint: PurePosixPath
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for what in (self.repository, str(self.mountpoint), *self.options):
            if not what or _UNFIT & set(what) or what.startswith("-"):
                raise InvalidValue(
                    what=repr(what), problem="cannot be written into a unit or map", hint="leave out blanks and quotes"
                )
        if not self.mountpoint.is_absolute() or ".." in self.mountpoint.parts:
            raise InvalidValue(
                what=str(self.mountpoint), problem="is no absolute path", hint="name one, as in `--at /cvmfs`"
            )


def escaped_path(path: PurePosixPath) -> str:
    """`path` as systemd has it in the names of units."""
    text = str(path).strip("/")
    if not text:
        return "-"
    parts = []
    for position, byte in enumerate(text.encode("utf-8", "surrogateescape")):
        character = chr(byte)
        if character == "/":
            parts.append("-")
        elif character in _PLAIN and not (character == "." and position == 0):
            parts.append(character)
        else:
            parts.append(f"\\x{byte:02x}")
    return "".join(parts)


def systemd_files(wanted: Sequence[WantedMount], program: str, idle_seconds: int) -> list[GeneratedFile]:
    """An automount and a mount unit for each of `wanted`, and the program that they need. A mount that nobody has used
    for `idle_seconds` is taken away; 0 for never."""
    files = [mount_helper(program)]
    for one in wanted:
        name = escaped_path(one.mountpoint)
        idle = f"TimeoutIdleSec={idle_seconds}\n" if idle_seconds else ""
        options = ",".join(("ro", "_netdev", *one.options))
        files += [
            GeneratedFile(
                f"{_UNITS}/{name}.automount",
                0o644,
                f"[Unit]\nDescription=Repository {one.repository}, mounted on demand\n\n"
                f"[Automount]\nWhere={one.mountpoint}\n{idle}\n"
                "[Install]\nWantedBy=multi-user.target\n",
            ),
            GeneratedFile(
                f"{_UNITS}/{name}.mount",
                0o644,
                f"[Unit]\nDescription=Repository {one.repository}\n"
                "Documentation=man:outcrop-mount(1)\nWants=network-online.target\nAfter=network-online.target\n\n"
                f"[Mount]\nWhat={one.repository}\nWhere={one.mountpoint}\nType=outcrop\nOptions={options}\n"
                "TimeoutSec=120\nLazyUnmount=yes\n",
            ),
        ]
    return files


def autofs_files(wanted: Sequence[WantedMount], program: str, idle_seconds: int) -> list[GeneratedFile]:
    """A map of `wanted` with the line of the master map that includes it, and the program that they need.

    InvalidValue unless all lie in one directory, since a map serves one."""
    parents = {one.mountpoint.parent for one in wanted}
    if len(parents) != 1:
        raise InvalidValue(
            what="an autofs map",
            problem="serves one directory, and these lie in several",
            hint="generate one for each, or systemd units with `--systemd`",
        )
    lines = [
        f"{one.mountpoint.name} -fstype=outcrop,{','.join(('ro', *one.options))} :{_colons_hidden(one.repository)}\n"
        for one in wanted
    ]
    head = "# name, options, what is mounted; made by `outcrop mount units --autofs`\n"
    master = f"{parents.pop()} /{_MAP} --timeout={idle_seconds}\n"
    return [
        mount_helper(program),
        GeneratedFile(_MASTER, 0o644, master),
        GeneratedFile(_MAP, 0o644, head + "".join(lines)),
    ]


def fstab_lines(wanted: Sequence[WantedMount]) -> str:
    """Lines of `/etc/fstab` that mount `wanted` on demand under systemd, and by `mount MOUNTPOINT` anywhere."""
    return "".join(
        f"{one.repository} {one.mountpoint} outcrop "
        f"{','.join(('ro', '_netdev', 'noauto', 'x-systemd.automount', *one.options))} 0 0\n"
        for one in wanted
    )


def mount_helper(program: str) -> GeneratedFile:
    """What mount(8) starts for the type `outcrop`: `mount.outcrop SOURCE MOUNTPOINT [-sfnv] [-o OPTIONS]`.

    The options `tag=`, `revision=`, `root-hash=`, `key=`, `cache=`, `fqrn=`, `external=` and `by=` are those of
    `outcrop mount`; what is for the kernel or for systemd is passed over."""
    return GeneratedFile(MOUNT_HELPER, 0o755, _HELPER.replace("@program@", program))


def _colons_hidden(repository: str) -> str:
    """A location in a map, whose colons would separate a host from a path."""
    return repository.replace(":", "\\:")


_HELPER = """#!/bin/sh
# Mounts a repository for mount(8): /etc/fstab, systemd units and autofs maps with the type `outcrop` come here.
set -eu
# systemd and autofs start programs without a home; the machine's own directories are meant.
: "${OUTCROP_CACHE_DIR:=/var/cache/outcrop}" "${OUTCROP_STATE_DIR:=/var/lib/outcrop}"
: "${OUTCROP_CONFIG_DIR:=/etc/outcrop}"
export OUTCROP_CACHE_DIR OUTCROP_STATE_DIR OUTCROP_CONFIG_DIR
repository=${1#:}
mountpoint=$2
shift 2
options=
dry_run=
while [ $# -gt 0 ]; do
    case $1 in
        -o) options=$2; shift ;;
        -o*) options=${1#-o} ;;
        -t|-N) shift ;;
        -*f*) dry_run=--dry-run ;;
    esac
    shift
done
set -f
IFS=,
set --
for option in $options; do
    case $option in
        tag=*|revision=*|root-hash=*|key=*|cache=*|fqrn=*|external=*|by=*)
            set -- "$@" "--${option%%=*}" "${option#*=}" ;;
    esac
done
unset IFS
exec @program@ mount --quiet --everyone $dry_run "$@" -- "$repository" "$mountpoint"
"""
