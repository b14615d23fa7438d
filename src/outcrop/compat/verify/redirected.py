"""That a site can redirect what is its own: what it puts there is what the layer's programs find.

Tried are the two variables of a file, and for the directories of libraries these and `host_injections`, each with the
directories' order: a library that is in several is taken from the first, one that is in none from the layer.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from outcrop.compat.redirection import DEFAULTS, HOST_INJECTIONS, Redirections, VariantLink
from outcrop.compat.relocate.elf_image import DT_NEEDED, SUPPORTED, ElfImage
from outcrop.compat.sealed_root import SealedRoot
from outcrop.compat.shared_links import lay_links
from outcrop.compat.verify.report import Checked, Finding, checked
from outcrop.compat.verify.shown import NO_SETTINGS, Settings, shown_targets
from outcrop.errors import storage_error

SITE = PurePosixPath("/site")
"""Where the site's things are in a sealed root."""

_ACCOUNTS = "etc/passwd"
_ACCOUNT = "redirected:x:4712:4712:Redirected:/tmp:/bin/sh\n"
_PROGRAM = "usr/bin/bash"
_NEEDED_BY_ALL = ("libc.so", "ld-linux")
"""Beginnings of the names of libraries that cannot be tried alone."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """A link of the layer, and the one of the repository to which it leads."""

    own: VariantLink
    shared: VariantLink

    @property
    def place(self) -> str:
        """Where the site of the trial has its own."""
        return self.own.path if self.is_file else f"lib/{PurePosixPath(self.shared.path).name}"

    @property
    def is_file(self) -> bool:
        return self.shared.path.startswith(f"{DEFAULTS}/compat/")


@dataclass(frozen=True, slots=True)
class _Way:
    """A way to redirect: how people call it, the variables that it sets, and where the site is bound."""

    name: str
    settings: Settings
    place: PurePosixPath = SITE


def site_redirects(root: SealedRoot, links: Redirections | None, directory: Path) -> Checked:
    """What a site redirects is found, in roots made of `root`, whose copy of the layer and of the repository's links
    is changed meanwhile; the site's files are put into the new `directory`. Nothing is looked at in a layer from before
    there were such links. StorageError."""
    if links is None or root.shared is None:
        return checked(0, (), [Finding("the layer", "was built before a repository had links for sites")])
    by_place = {f"{root.layout.mount_point}/{link.path}": link for link in links.shared}
    pairs = [_Pair(own, by_place[own.default]) for own in links.layer if own.default in by_place]
    findings = [
        Finding(own.path, f"leads to {own.default}, which the repository does not have")
        for own in links.layer
        if own.default not in by_place
    ]
    trial = _Trial(root, links, tuple(pairs), directory)
    skipped: list[Finding] = []
    number = len(links.layer)
    for look in (trial.accounts, trial.libraries):
        found = look()
        number += found.number
        findings += found.findings
        skipped += found.skipped
    return checked(number, findings, skipped)


@dataclass(frozen=True, slots=True)
class _Trial:
    root: SealedRoot
    links: Redirections
    pairs: tuple[_Pair, ...]
    site: Path

    def accounts(self) -> Checked:
        """The site's accounts are known."""
        pair = next((one for one in self.pairs if one.own.path == _ACCOUNTS), None)
        if pair is None or not (self.root.tree / "usr/bin/id").exists():
            return checked(0, (), [Finding(_ACCOUNTS, "is not redirected, or the layer has no id")])
        try:
            (self.site / _ACCOUNTS).parent.mkdir(parents=True)
            (self.site / _ACCOUNTS).write_text(_ACCOUNT, encoding="utf-8")
        except OSError as error:
            raise storage_error(error) from error
        findings, ways = [], tuple(self._ways([pair]))
        for way in ways:
            ended = self._run(way, [f"{self.root.layout.prefix}/usr/bin/id", "-u", _ACCOUNT.partition(":")[0]])
            if ended != _ACCOUNT.split(":")[2] + "\n":
                findings.append(Finding(_ACCOUNTS, f"is not the site's, by {way.name}"))
        return checked(len(ways), findings)

    def libraries(self) -> Checked:
        """The site's libraries are taken, in the order of their directories, and then the layer's."""
        pairs = [one for one in self.pairs if not one.is_file]
        library = self._library()
        if not pairs or library is None:
            return checked(
                0, (), [Finding("libraries", f"cannot be tried: the layer has no {_PROGRAM} that needs any")]
            )
        prefix = self.root.layout.prefix
        places = [*(f"{prefix}/{one.own.path}/{library.name}" for one in pairs), f"{prefix}/{library}"]
        injections = next((one for one in self.links.shared if one.path == HOST_INJECTIONS), None)
        ways = list(self._ways(pairs))
        if injections is not None:
            ways.append(_Way(HOST_INJECTIONS, NO_SETTINGS, PurePosixPath(injections.default)))
        findings, number = [], 0
        try:
            for way in ways:
                for pair in pairs:
                    (self.site / pair.place).mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(self.root.tree / library, self.site / pair.place / library.name)
                for gone, expected in zip((*pairs, None), places, strict=True):
                    number += 1
                    taken = self._taken(way, library.name)
                    if taken != expected:
                        findings.append(Finding(expected, f"is not taken, by {way.name}, but {taken or 'nothing'}"))
                    if gone is not None:
                        (self.site / gone.place / library.name).unlink()
        except OSError as error:
            raise storage_error(error) from error
        return checked(number, findings)

    def _ways(self, pairs: Sequence[_Pair]) -> Iterator[_Way]:
        yield _Way("the version's variable", {one.own.variable: f"{SITE}/{one.place}" for one in pairs})
        yield _Way("the variable of all versions", {one.shared.variable: f"{SITE}/{one.place}" for one in pairs})

    def _library(self) -> PurePosixPath | None:
        """A library of the layer that its shell needs, relative to the prefix."""
        program = self.root.tree / _PROGRAM
        if not program.is_file() or not (data := program.read_bytes()).startswith(SUPPORTED):
            return None
        directory = PurePosixPath("usr/lib", self.root.layout.family.triplet)
        for name in ElfImage(data).dynamic_strings(DT_NEEDED):
            place = directory / name.decode()
            if not place.name.startswith(_NEEDED_BY_ALL) and (self.root.tree / place).is_file():
                return place
        return None

    def _taken(self, way: _Way, name: str) -> str:
        """Which file the loader takes for the library `name`; empty where it takes none."""
        layout = self.root.layout
        told = self._run(way, [layout.loader, "--list", f"{layout.prefix}/{_PROGRAM}"])
        lines = (line.split() for line in told.splitlines())
        return next((words[2] for words in lines if words[:2] == [name, "=>"]), "")

    def _run(self, way: _Way, command: Sequence[str]) -> str:
        """What `command` writes where a client has the way's settings."""
        assert self.root.shared is not None
        root = replace(self.root, binds={**self.root.binds, way.place: self.site})
        shown: tuple[tuple[Path, Sequence[VariantLink]], ...] = (
            (root.tree, self.links.layer),
            (self.root.shared, self.links.shared),
        )
        try:
            for place, links in shown:
                lay_links(place, shown_targets(links, way.settings))
            return root.run(command).stdout
        finally:
            for place, links in shown:
                lay_links(place, shown_targets(links, NO_SETTINGS))
