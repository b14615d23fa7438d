"""A stock configuration on this machine: what it says of any repository.

Reads the files below one directory (`/etc/cvmfs`, or another that a site uses) in the reference's order, with those of
the configuration repository where one is named (`outcrop.client.stock_configuration_repository`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from outcrop.client.known_repository import KnownRepository
from outcrop.client.stock_configuration_files import StockFiles
from outcrop.client.stock_configuration_repository import ConfigurationCopies
from outcrop.client.stock_configuration_values import ClientConfiguration, client_configuration, full_name
from outcrop.cvmfs.client_configuration import (
    Evaluated,
    Surroundings,
    evaluate_all,
    listed,
)
from outcrop.cvmfs.names import RepositoryName, repository_name
from outcrop.errors import InvalidValue

_SUFFIXES = (".conf", ".local")


class StockConfiguration:
    """The stock configuration below `directory`, which may be missing. Implements `RepositorySource`.

    `copies` shows configuration repositories; with None they are left out. `tell` hears what could not be used; a
    reading that is `strict` raises a FormatError for what only a shell could run."""

    def __init__(
        self,
        directory: Path,
        copies: ConfigurationCopies | None = None,
        tell: Callable[[str], None] = lambda _text: None,
        *,
        strict: bool = False,
    ) -> None:
        self.directory = directory
        self._copies = copies
        self._tell = tell
        self._strict = strict
        self._read: dict[str, ClientConfiguration] = {}

    def find(self, name: str) -> KnownRepository | None:
        """The repository `name`, which may lack its domain; None where no server of it is named here."""
        if not self.directory.is_dir():
            return None
        try:
            repository = repository_name(full_name(name, self.defaults()))
        except InvalidValue:
            return None
        configuration = self.configuration(repository)
        if not configuration.servers:
            return None
        for warning in configuration.warnings:
            self._tell(warning)
        return configuration.known(str(self.directory))

    @property
    def names(self) -> tuple[str, ...]:
        """The repositories that the files name: in `CVMFS_REPOSITORIES`, by a file of their own, or as the
        configuration repository. Those of a known domain can be found as well (`domains`)."""
        defaults = self.defaults()
        found = {full_name(one, defaults) for one in listed(defaults.value("CVMFS_REPOSITORIES"), ",")}
        found |= self._labels("config.d")
        found.add(defaults.value("CVMFS_CONFIG_REPOSITORY"))
        return tuple(sorted(name for name in found if _is_name(name)))

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains that have a file here."""
        return tuple(sorted(self._labels("domain.d")))

    def source(self, _name: str) -> str:
        return str(self.directory)

    def defaults(self) -> Evaluated:
        """The settings that hold for all repositories, without the configuration repository."""
        return evaluate_all(None, str(self.directory), self._surroundings(StockFiles(self.directory)))

    def configuration(self, repository: RepositoryName) -> ClientConfiguration:
        """What is said of `repository`; read once, and remembered."""
        if repository not in self._read:
            self._read[repository] = self._configuration(repository)
        return self._read[repository]

    def _configuration(self, repository: RepositoryName) -> ClientConfiguration:
        files = StockFiles(self.directory)
        notes: list[str] = []

        def prepare(name: str, mountpoint: str) -> None:
            place = self._configuration_repository(name, mountpoint, notes)
            if place is not None:
                files.show(mountpoint, place)

        evaluated = evaluate_all(
            repository, str(self.directory), self._surroundings(files), prepare, strict=self._strict
        )
        notes += [f"{path} cannot be read, so what it says is not known" for path in dict.fromkeys(files.unreadable)]
        told = Evaluated(evaluated.settings, (*notes, *evaluated.warnings))
        return client_configuration(repository, told, files.place, files.read)

    def _configuration_repository(self, name: str, mountpoint: str, notes: list[str]) -> Path | None:
        """Where the files of the configuration repository `name` are; None where they are not to be had."""
        if self._copies is None:
            return None
        try:
            repository = repository_name(name)
        except InvalidValue as error:
            notes.append(str(error))
            return None

        def known() -> KnownRepository:
            return self.configuration(repository).known(str(self.directory))

        return self._copies.place(repository, Path(mountpoint), known, notes.append)

    def _surroundings(self, files: StockFiles) -> Surroundings:
        return Surroundings(files, process=os.getpid())

    def _labels(self, kind: str) -> set[str]:
        names = StockFiles(self.directory).names(str(self.directory / kind))
        return {name.removesuffix(suffix) for name in names for suffix in _SUFFIXES if name.endswith(suffix)}


def _is_name(text: str) -> bool:
    try:
        repository_name(text)
    except InvalidValue:
        return False
    return True
