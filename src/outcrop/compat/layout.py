"""Where a layer lies, in the repository and once it is mounted: `versions/<V>/compat/linux/<family>`, as EESSI's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from outcrop.compat.family import Family
from outcrop.cvmfs.names import RepositoryName
from outcrop.software.layout import DEFAULT_MOUNT_ROOT, OPERATING_SYSTEM

STARTPREFIX = "startprefix"
RECORDS = "reprod"
LAYERS_PATTERN = f"versions/*/compat/{OPERATING_SYSTEM}/*"
"""Where a repository has its layers."""


@dataclass(frozen=True, slots=True)
class LayerLayout:
    """The places of one family's layer of one version of a stack. `variable_prefix` is the stack's (`EESSI_`)."""

    repository: RepositoryName
    version: str
    family: Family
    mount_root: PurePosixPath = DEFAULT_MOUNT_ROOT
    variable_prefix: str = "EESSI_"

    @property
    def relative(self) -> PurePosixPath:
        """The layer below the repository's root."""
        return PurePosixPath("versions", self.version, "compat", OPERATING_SYSTEM, self.family.name)

    @property
    def mount_point(self) -> PurePosixPath:
        """The repository as every user sees it."""
        return self.mount_root / self.repository

    @property
    def prefix(self) -> PurePosixPath:
        """The layer as every user sees it."""
        return self.mount_point / self.relative

    @property
    def loader(self) -> str:
        """The dynamic loader below the prefix."""
        return f"{self.prefix}{self.family.loader}"

    @property
    def libraries(self) -> str:
        """The directory of the layer's own libraries."""
        return f"{self.prefix}/usr/lib/{self.family.triplet}"

    def library_directories(self, trusted: Iterable[str]) -> tuple[str, ...]:
        """Where the layer's programs look for libraries, best first: in the `trusted` directories, relative to the
        prefix, then among the layer's own."""
        return (*(f"{self.prefix}/{place}" for place in trusted), self.libraries)

    def variable(self, name: str) -> str:
        """The variable of a client that holds for this version alone, such as EESSI_202606_LIB_OVERRIDE."""
        digits = "".join(character for character in self.version if character.isalnum())
        return f"{self.variable_prefix}{digits}_{name}"

    def shared_variable(self, name: str) -> str:
        """The variable of a client that holds for all versions, such as EESSI_LIB_OVERRIDE_DEFAULT."""
        return f"{self.variable_prefix}{name}"
