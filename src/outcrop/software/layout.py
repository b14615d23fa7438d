"""Where a stack's software lies, in the repository and once it is mounted.

    versions/<V>/software/linux/<family>/<cpu>/
        software/<Name>/<version>     installations
        modules/all/<Name>/<version>.lua
        reprod/<Name>/<version>/<UTC time>/easybuild
        .lmod/{cache/…, lmodrc.lua}

Compatible with EESSI's layout; everything that knows a path of it asks here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from outcrop.cvmfs.names import RepositoryName
from outcrop.init.target import Target

OPERATING_SYSTEM = "linux"

DEFAULT_MOUNT_ROOT = PurePosixPath("/cvmfs")

MODULE_SUFFIX = ".lua"

CATALOG_MARKER = ".cvmfscatalog"
"""A file of this name tells the publisher that its directory starts a nested catalog."""

AUTOMATIC_MARKER = ".cvmfsautocatalog"
"""Beside the other, a file of this name says that it was the publisher who put both, since a catalog grew too large."""


@dataclass(frozen=True, slots=True)
class SoftwareLayout:
    """The places of one target of one version of a stack. Relative paths start at the repository's root."""

    repository: RepositoryName
    version: str
    target: Target
    mount_root: PurePosixPath = DEFAULT_MOUNT_ROOT

    @property
    def mount_point(self) -> PurePosixPath:
        return self.mount_root / self.repository

    @property
    def relative(self) -> PurePosixPath:
        return PurePosixPath("versions", self.version, "software", OPERATING_SYSTEM, self.target.path)

    @property
    def final(self) -> PurePosixPath:
        """The prefix of this target as every user sees it."""
        return self.mount_point / self.relative

    @property
    def software(self) -> PurePosixPath:
        return self.relative / "software"

    @property
    def modules(self) -> PurePosixPath:
        return self.relative / "modules" / "all"

    @property
    def reprod(self) -> PurePosixPath:
        return self.relative / "reprod"

    @property
    def lmod(self) -> PurePosixPath:
        return self.relative / ".lmod"

    def installation(self, module_name: str) -> PurePosixPath:
        """Where the installation behind the module `Name/version` lies."""
        return self.software / module_name

    def module_file(self, module_name: str) -> PurePosixPath:
        return self.modules / (module_name + MODULE_SUFFIX)
