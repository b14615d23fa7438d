"""The stages of a build: what goes into each, and what each does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from outcrop.compat.debian.package_mirror import PackageMirror
from outcrop.compat.gentoo.commands import SCRIPT_IN_VIEW, Commands
from outcrop.compat.gentoo.inputs import (
    fetch_archive,
    fetch_bootstrap,
    fetch_snapshot,
    keep_archives,
    place_archives,
    unpack_overlay,
    unpack_snapshot,
)
from outcrop.compat.gentoo.installed import installed_packages, not_installed
from outcrop.compat.gentoo.layer_steps import make_layer
from outcrop.compat.gentoo.lock import GentooLock, with_results, write_lock
from outcrop.compat.gentoo.portage_files import (
    GENTOO_TREE,
    PROFILE_LINK,
    REPOSITORIES,
    SOURCE_ARCHIVES,
    base_files,
    digest_of_files,
    package_files,
)
from outcrop.compat.gentoo.portage_log import emerging
from outcrop.compat.gentoo.resume import Again, Stage, staged
from outcrop.compat.gentoo.settings import pinned_bootstrap
from outcrop.compat.gentoo.workplace import Workplace, remove_directory
from outcrop.compat.layout import LayerLayout
from outcrop.compat.package_sets import LayerDescription
from outcrop.compat.redirection import redirections
from outcrop.errors import CommandFailed, storage_error
from outcrop.progress import Progress

_EMERGE = ("--color=n", "--nospinner", "--ask=n", "--autounmask=n", "--quiet-build=y")
"""No colours, no questions, and no change of settings that nobody has asked for."""

_SYSTEMS = {
    "x86_64": "x86_64-pc-linux-gnu",
    "aarch64": "aarch64-unknown-linux-gnu",
    "riscv64": "riscv64-unknown-linux-gnu",
}
"""What the script takes a family for. By itself it takes a machine that also has musl for one that has nothing else."""

_USED_BY_THE_SCRIPT = ("etc/portage/package.use/", "etc/portage/package.accept_keywords/")
_OWN_FILES = (
    "etc/portage/package.*/outcrop",
    "etc/portage/sets/outcrop",
    "etc/portage/env/outcrop-*",
    "etc/portage/repos.conf/*.conf",
    "etc/locale.gen",
)


@dataclass(slots=True)
class PrefixBuild:
    """One build in `work`, of what `lock` names."""

    layout: LayerLayout
    description: LayerDescription
    lock: GentooLock
    work: Workplace
    mirror: PackageMirror
    commands: Commands
    progress: Progress

    def steps(self) -> tuple[tuple[Stage, Callable[[], None]], ...]:
        """All stages in their order, each with what does it, also where it was begun before. That raises what
        `build_prefix` says."""
        lock = self.lock
        base = f"{self.layout.prefix} {lock.profile} {digest_of_files(self._base_files())}"
        steps = (
            (self._configuration, base, Again.FROM_NOTHING),
            (self._snapshot, lock.snapshot.sha256, Again.FROM_NOTHING),
            (self._archives, _text(lock.source_archives), Again.FROM_NOTHING),
            (self._stage1, lock.bootstrap, Again.FROM_NOTHING),
            (self._stage2, "", Again.FROM_NOTHING),
            (self._stage3, "", Again.FROM_NOTHING),
            (self._startscript, "", Again.FROM_NOTHING),
            (self._overlays, _text(lock.overlays), Again.IN_PLACE),
            (self._settings, digest_of_files(self._package_files()), Again.IN_PLACE),
            (self._locales, "", Again.IN_PLACE),
            (self._packages, _text(lock.atoms), Again.IN_PLACE),
            (self._loader, "", Again.IN_PLACE),
            (self._depclean, "", Again.IN_PLACE),
            (self._inventory, "", Again.IN_PLACE),
            (self._layer, _text(redirections(self.layout, self.description)), Again.LAST),
        )
        stages = staged((step.__name__.strip("_"), text, again) for step, text, again in steps)
        return tuple(zip(stages, (step for step, _, _ in steps), strict=True))

    def _base_files(self) -> dict[str, str]:
        return base_files(self.description.gentoo, self.layout.family, self.layout.prefix)

    def _package_files(self) -> dict[str, str]:
        shipped = (one.atom for one in self.lock.atoms if one.ships)
        return package_files(self.description, self.layout.family, shipped, self.layout.prefix)

    def _configuration(self) -> None:
        early = {path: text for path, text in self._package_files().items() if path.startswith(_USED_BY_THE_SCRIPT)}
        _write_files(self.work.tree, self._base_files() | early)
        profile = self.work.tree / PROFILE_LINK
        try:
            profile.unlink(missing_ok=True)
            profile.symlink_to(f"{self.layout.prefix}/{GENTOO_TREE}/profiles/{self.lock.profile}")
        except OSError as error:
            raise storage_error(error) from error

    def _snapshot(self) -> None:
        archive = fetch_snapshot(self.lock.snapshot, self.description.gentoo, self.mirror)
        place = self.work.tree / GENTOO_TREE
        unpack_snapshot(archive, place)
        if not (place / "profiles" / self.lock.profile).is_dir():
            raise CommandFailed(
                what="unpacking the snapshot",
                problem=f"it has no profile {self.lock.profile}",
                hint="name one of its profiles in `[gentoo.profiles]` of `layer.toml`",
            )

    def _archives(self) -> None:
        settings = self.description.gentoo
        self.progress.advance(0, "source archives")
        fetched = [(archive, fetch_archive(archive, settings, self.mirror)) for archive in self.lock.source_archives]
        place_archives(fetched, self.work.tree / SOURCE_ARCHIVES)

    def _stage1(self) -> None:
        self._bootstrap("stage1")

    def _stage2(self) -> None:
        self._bootstrap("stage2")

    def _stage3(self) -> None:
        self._bootstrap("stage3")

    def _startscript(self) -> None:
        self._bootstrap("startscript")

    def _bootstrap(self, stage: str) -> None:
        """Runs the script until `stage` is done; what it has done before, it knows by itself."""
        try:
            shutil.copyfile(fetch_bootstrap(pinned_bootstrap(self.description.gentoo), self.mirror), self.work.script)
        except OSError as error:
            raise storage_error(error) from error
        environment = self.commands.host_environment() | {
            "CHOST": _SYSTEMS[self.layout.family.name],
            "USE_CPU_CORES": str(len(os.sched_getaffinity(0))),
        }
        if stage != "startscript":
            environment["STOP_BOOTSTRAP_AFTER"] = stage
        command = ["bash", str(SCRIPT_IN_VIEW), str(self.layout.prefix), "noninteractive"]
        self.commands.require(f"the bootstrap ({stage})", stage, command, environment, self._tell)

    def _overlays(self) -> None:
        overlays = self.description.gentoo.overlay
        kept = {"gentoo", *(overlay.name for overlay in overlays)}
        for path in sorted((self.work.tree / REPOSITORIES).iterdir()):
            if path.name not in kept:
                remove_directory(path)
        for overlay in overlays:
            unpack_overlay(overlay, self.work.tree / REPOSITORIES / overlay.name, self.work.directory)

    def _settings(self) -> None:
        for pattern in _OWN_FILES:
            for path in sorted(self.work.tree.glob(pattern)):
                remove_directory(path)
        _write_files(self.work.tree, self._base_files() | self._package_files())

    def _locales(self) -> None:
        if self.description.locales:
            command = [f"{self.layout.prefix}/usr/sbin/locale-gen"]
            self.commands.require("making locales", "locales", command, self.commands.own_environment())

    def _packages(self) -> None:
        if only_for_building := [one.atom for one in self.lock.atoms if not one.ships]:
            self._emerge("packages", "--oneshot", "--noreplace", *only_for_building)
        self._emerge("packages", "--update", "--deep", "--changed-use", "--with-bdeps=y", "@world")

    def _loader(self) -> None:
        """The loader looks into the trusted directories first; if it does not, it was built before it was told to."""
        if self.description.trusted_directories and self._untrusted():
            self._emerge("loader", "--oneshot", "sys-libs/glibc")
            if places := self._untrusted():
                raise CommandFailed(
                    what="building glibc",
                    problem=f"its loader does not look into {places[0]}",
                    hint="check what the settings of sys-libs/glibc do to EXTRA_EMAKE",
                )

    def _untrusted(self) -> list[str]:
        command = [self.layout.loader, "--help"]
        told = self.commands.require("the layer's loader", "loader", command, self.commands.own_environment())
        places = [f"{self.layout.prefix}/{place}" for place in self.description.trusted_directories]
        return [place for place in places if place not in told]

    def _depclean(self) -> None:
        self._emerge("depclean", "--depclean", "--with-bdeps=n")

    def _inventory(self) -> None:
        installed = installed_packages(self.work.tree)
        missing = not_installed((one.atom for one in self.lock.atoms if one.ships), installed)
        if missing:
            raise CommandFailed(
                what="building the sets",
                problem=f"{missing[0]} is not installed",
                hint=f"see {self.work.log('packages')} and {self.work.log('depclean')}",
            )
        archives = keep_archives(self.work.tree / SOURCE_ARCHIVES, self.mirror)
        write_lock(with_results(self.lock, installed, archives), self.work.results)

    def _layer(self) -> None:
        make_layer(self.work.tree, self.layout, self.description)

    def _emerge(self, stage: str, *words: str) -> None:
        command = [f"{self.layout.prefix}/usr/bin/emerge", *_EMERGE, *words]
        self.commands.require("emerge", stage, command, self.commands.own_environment(), self._tell)

    def _tell(self, news: str) -> None:
        if found := emerging(news):
            self.progress.advance(0, f"{found.package} ({found.number} of {found.total})")


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _write_files(tree: Path, files: Mapping[str, str]) -> None:
    try:
        for path, text in files.items():
            place = tree / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
    except OSError as error:
        raise storage_error(error) from error
