"""What EasyBuild would install for a set of easystacks, as plain values: the installations in the order in which they
build, and every file that they start from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import msgspec

SHA256_LENGTH = 64
"""Hexadecimal digits."""


class FileRole(Enum):
    """What a file is to the installation that wants it."""

    SOURCE = "source"
    PATCH = "patch"


@dataclass(frozen=True, slots=True)
class WantedFile:
    """A file that an installation starts from.

    `sha256` lists the digests of which any one proves the file; empty where the easyconfig names none. `urls` are the
    upstream addresses in the order in which EasyBuild tries them. `shelf` is the directory of EasyBuild's source path
    where it is looked for: `s/seqtk`. `beside` is the copy that lies with the easyconfig (patches do), empty if none.
    """

    name: str
    shelf: str
    role: FileRole
    sha256: tuple[str, ...]
    urls: tuple[str, ...] = ()
    beside: str = ""


@dataclass(frozen=True, slots=True)
class PlannedInstallation:
    """One easyconfig of the plan. `module` is `Name/version` as Lmod knows it."""

    module: str
    name: str
    version: str
    versionsuffix: str
    toolchain: str
    easyconfig: Path
    files: tuple[WantedFile, ...]


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """Everything that the easystacks need, dependencies first, as EasyBuild of this version resolves it."""

    easybuild: str
    installations: tuple[PlannedInstallation, ...]

    @property
    def files(self) -> tuple[WantedFile, ...]:
        """All files, each once, in the order in which they are needed."""
        return tuple(dict.fromkeys(file for planned in self.installations for file in planned.files))


class ReaderRequest(msgspec.Struct, frozen=True):
    """What the process that reads easyconfigs is asked."""

    easystacks: tuple[str, ...]
    robot_paths: tuple[str, ...]
    filter_dependencies: tuple[str, ...]
    scratch: str


class ReaderAnswer(msgspec.Struct, frozen=True):
    """What it answers: a plan, or the sentence with which EasyBuild refused."""

    plan: BuildPlan | None = None
    refused: str = ""


def encode_answer(answer: ReaderAnswer) -> bytes:
    return msgspec.json.encode(answer, enc_hook=str)


def decode_answer(data: bytes) -> ReaderAnswer:
    """The answer in `data`; raises `msgspec.DecodeError` when it is none."""
    return msgspec.json.decode(data, type=ReaderAnswer, dec_hook=lambda kind, value: kind(value))


def accepted_digests(checksum: object, file_name: str) -> tuple[str, ...]:
    """The SHA-256 digests that an easyconfig's checksum accepts for `file_name`; empty where it names none.

    An easyconfig may give a digest, a mapping from file names, a pair of type and digest, a tuple of alternatives, or
    a list of which all must hold (EasyBuild documentation, "Checksums"). Digests of other types prove nothing to us.
    """
    if isinstance(checksum, str):
        return (checksum.lower(),) if len(checksum) == SHA256_LENGTH else ()
    if isinstance(checksum, dict):
        return accepted_digests(checksum.get(file_name), file_name)
    if isinstance(checksum, tuple):
        if len(checksum) == 2 and checksum[0] == "sha256":
            return accepted_digests(checksum[1], file_name)
        alternatives = (digest for one in checksum for digest in accepted_digests(one, file_name))
        return tuple(dict.fromkeys(alternatives))
    if isinstance(checksum, list):
        named = [digests for digests in (accepted_digests(one, file_name) for one in checksum) if digests]
        if not named:
            return ()
        return tuple(digest for digest in named[0] if all(digest in others for others in named[1:]))
    return ()
