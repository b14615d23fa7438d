"""The formats of packs, and how a file's name says which one is meant."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path


class Format(Enum):
    """What a pack is; the value is its name on the command line."""

    DIRECTORY = "directory"
    TAR = "tar"
    SQUASHFS = "squashfs"
    EROFS = "erofs"
    OCI = "oci"


class Encoding(Enum):
    """How a stream is compressed."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"


@dataclass(frozen=True, slots=True)
class PackForm:
    """A format in full: how an archive is compressed, and whether an OCI layout is put into one (`archived`)."""

    format: Format
    encoding: Encoding = Encoding.NONE
    archived: bool = False

    @property
    def is_directory(self) -> bool:
        """Whether the result is a directory, not a file."""
        return self.format is Format.DIRECTORY or (self.format is Format.OCI and not self.archived)


_SUFFIXES = {
    ".oci.tar": PackForm(Format.OCI, archived=True),
    ".oci": PackForm(Format.OCI),
    ".tar": PackForm(Format.TAR),
    ".tar.gz": PackForm(Format.TAR, Encoding.GZIP),
    ".tgz": PackForm(Format.TAR, Encoding.GZIP),
    ".tar.zst": PackForm(Format.TAR, Encoding.ZSTD),
    ".sqfs": PackForm(Format.SQUASHFS),
    ".squashfs": PackForm(Format.SQUASHFS),
    ".erofs": PackForm(Format.EROFS),
}


def form_of(output: Path, wanted: Format | None = None) -> PackForm:
    """The form that the name `output` asks for, in the format `wanted` if one is named; a directory by default."""
    named = max((suffix for suffix in _SUFFIXES if output.name.endswith(suffix)), key=len, default="")
    guessed = _SUFFIXES.get(named, PackForm(Format.DIRECTORY))
    if wanted is None or guessed.format is wanted:
        return guessed
    return PackForm(wanted, archived=wanted is Format.OCI and named == ".tar")
