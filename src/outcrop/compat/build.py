"""A layer, built from a lock: packages into a tree, the tree moved to its prefix, finished, recorded, put in place.

Nothing is left half-made: all happens in a directory beside, which takes its name at the end, and which the next build
takes away if this one is killed. What takes long, fetching packages, goes on where it was.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from outcrop.compat.changelog import UNTOLD, Occasion, told_mirrors
from outcrop.compat.debian.package_mirror import PackageMirror
from outcrop.compat.debian.scripts import Effect
from outcrop.compat.debian.signature import GPGV
from outcrop.compat.equal_files import join_equal_files
from outcrop.compat.exchange import put_back, take_place
from outcrop.compat.finish import add_alternatives, add_links, finish
from outcrop.compat.layout import LayerLayout
from outcrop.compat.left_out import LEFT_OUT_FILE, left_out_text, require_kept
from outcrop.compat.locales import locales_to_make
from outcrop.compat.lock import Lock, LockedPackage, LockedWheel, render_lock
from outcrop.compat.owners import OWNERS_FILE, owners_text
from outcrop.compat.package_sets import LayerDescription
from outcrop.compat.plan import PLAN_FILE, plan_text
from outcrop.compat.record import BuildLog, following, write_record
from outcrop.compat.redirection import redirections
from outcrop.compat.relocate.path_rules import PathRules
from outcrop.compat.relocate.programs import KEPT_PATHS, UNTOUCHED
from outcrop.compat.relocate.tree import FileChanges, TreeRules, paths_present, relocate_tree
from outcrop.compat.script_effects import known_effects, undone
from outcrop.compat.sealed_root import sealed_root
from outcrop.compat.shared_links import lay_links
from outcrop.compat.unpack import MERGED, PackageFile, unpack
from outcrop.compat.wheels.index import fetch_wheel
from outcrop.compat.wheels.needs import require_needs
from outcrop.compat.wheels.placing import WheelPlaces, place_wheel
from outcrop.errors import AlreadyExists, storage_error
from outcrop.progress import SILENT, Progress
from outcrop.scratch import remove_leftovers, scratch_directory

CONCURRENT_DOWNLOADS = 6
_PURPOSE = "compat"


@dataclass(frozen=True, slots=True)
class BuildPlace:
    """`destination` is a copy of the repository's root: the layer is made at its place below, and beside `versions` the
    links to which its own lead. With `replace`, a layer that is there already gives way."""

    layout: LayerLayout
    destination: Path
    replace: bool = False

    @property
    def tree(self) -> Path:
        return self.destination / self.layout.relative


@dataclass(frozen=True, slots=True)
class BuiltLayer:
    """A finished layer: where it is, its record, what was changed on the way, the occasion, with the layer that it
    follows, and what scripts of packages would have done and nobody did, by package."""

    tree: Path
    record: Path
    changes: tuple[FileChanges, ...]
    occasion: Occasion = UNTOLD
    undone: Mapping[str, tuple[Effect, ...]] = field(default_factory=dict)


def fetch_packages(
    lock: Lock, mirror: PackageMirror, archives: Sequence[str], progress: Progress = SILENT
) -> dict[str, Path]:
    """The files of `lock`: packages by name, wheels by the name of their file. Packages come from `archives`, wheels
    from this machine's index of Python packages, where the mirror does not have them."""
    progress.start("Fetching packages", total=sum(one.size for one in lock.all), unit="bytes")

    def fetch(package: LockedPackage | LockedWheel) -> Path:
        if isinstance(package, LockedWheel):
            return fetch_wheel(mirror, package.name, package.version, package.sha256)
        urls = [f"{archive}/{package.path}" for archive in archives]
        return mirror.fetch(package.sha256, urls, f"{package.name} {package.version}")

    found: dict[str, Path] = {}
    pool = ThreadPoolExecutor(CONCURRENT_DOWNLOADS, thread_name_prefix="packages")
    try:
        futures = [pool.submit(fetch, package) for package in lock.all]
        for package, future in zip(lock.all, futures, strict=True):
            found[package.file if isinstance(package, LockedWheel) else package.name] = future.result()
            progress.advance(package.size, package.name)
    except KeyboardInterrupt:
        mirror.cancel()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        progress.finish()
    return found


def build_layer(
    place: BuildPlace,
    lock: Lock,
    description: LayerDescription,
    files: dict[str, Path],
    progress: Progress = SILENT,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    occasion: Occasion = UNTOLD,
) -> BuiltLayer:
    """Builds the layer of `lock` at `place`; `occasion` is for its record. AlreadyExists where one is there;
    StorageError, IntegrityError, FormatError; InvalidValue for packages and prefixes that cannot be used;
    CommandFailed, MissingCapability."""
    tree = place.tree
    links = redirections(place.layout, description)
    with prepared_place(place), scratch_directory(_PURPOSE, tree.parent) as scratch:
        occasion = following(occasion, tree)
        new = scratch.directory / "layer"
        log = BuildLog()
        _say_what(log, clock(), lock, occasion)
        changes, documents, left = _make(new, place.layout, lock, description, files, progress, clock, log)
        record = write_record(
            new,
            place.layout,
            clock(),
            render_lock(lock),
            description,
            changes,
            log,
            _tools(place.layout, new),
            documents | {PLAN_FILE: plan_text(description, lock, place.layout.family)},
            occasion,
        )
        lay_links(place.destination, links.targets())
        take_place(new, tree)
    return BuiltLayer(tree, tree / record.relative_to(new), tuple(changes), occasion, left)


def _say_what(log: BuildLog, now: datetime, lock: Lock, occasion: Occasion) -> None:
    log.say(now, f"{len(lock.packages)} packages and {len(lock.wheels)} wheels of {lock.release} for {lock.family}")
    log.say(now, f"sets: {', '.join(lock.sets)}")
    for suite in lock.suites:
        log.say(now, f"{suite.suite} {suite.version} as of {suite.date}, InRelease {suite.in_release}")
    if occasion.mirrors:
        log.say(now, f"packages that were not here already: from {' or '.join(told_mirrors(occasion.mirrors))}")


def _tools(layout: LayerLayout, tree: Path) -> list[list[str]]:
    """The commands that say which programs of this machine had a part in the layer, by their versions."""
    root = sealed_root(layout, tree)
    programs = [root.bubblewrap, shutil.which(GPGV), str(root.qemu) if root.qemu else None]
    return [[program, "--version"] for program in programs if program]


def clear_up(place: BuildPlace) -> None:
    """Takes away what a build that was killed has left beside the layer, where it is not built again. StorageError."""
    put_back(place.tree)
    remove_leftovers(_PURPOSE, place.tree.parent)


@contextmanager
def prepared_place(place: BuildPlace) -> Iterator[None]:
    """Within the block there is a directory that takes the layer; where the block fails, the directories that were made
    for it go, but for those that have something in them. AlreadyExists where a layer is there that may not give way.
    StorageError."""
    put_back(place.tree)
    if place.tree.exists() and not place.replace:
        raise AlreadyExists(
            what=str(place.tree), hint="`--replace` builds it anew; the old one is kept until the new one is whole"
        )
    missing = [directory for directory in place.tree.parents if not directory.exists()]
    try:
        try:
            place.tree.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error) from error
        yield
    except BaseException:
        for directory in missing:
            with suppress(OSError):
                directory.rmdir()
        raise


def _make(
    tree: Path,
    layout: LayerLayout,
    lock: Lock,
    description: LayerDescription,
    files: dict[str, Path],
    progress: Progress,
    clock: Callable[[], datetime],
    log: BuildLog,
) -> tuple[list[FileChanges], dict[str, bytes], dict[str, tuple[Effect, ...]]]:
    """Makes the layer; what was changed, what the record tells of its packages, and what their scripts would have done
    and nobody did."""
    workers = len(os.sched_getaffinity(0))
    packages = [PackageFile(package.name, files[package.name]) for package in lock.packages]
    unpacked = unpack(packages, tree, description.dropped(), workers, progress)
    number, fewer = sum(len(one.paths) for one in unpacked), sum(len(one.left_out) for one in unpacked)
    log.say(clock(), f"unpacked {number} files and links, left {fewer} out")
    left = undone({one.name: one.effects for one in unpacked}, known_effects(description.effects))
    for one in unpacked:
        for path, to in one.diverted.items():
            log.say(clock(), f"{path} of {one.name} is {to}: another package has it")
        for effect in left.get(one.name, ()):
            log.say(clock(), f"not done, of the scripts of {one.name}: {effect.text}")
    locales_to_make(tree, description.locales)  # what cannot be made is told before anything is moved
    ships = {package.name for package in lock.packages if package.ships}
    add_links(tree, layout, description, (link for one in unpacked if one.name in ships for link in one.alternatives))
    # Only where no package that ships has one: what ships leads to what ships.
    only_now = add_alternatives(tree, (link for one in unpacked if one.name not in ships for link in one.alternatives))
    only_now += (path for one in unpacked if one.name not in ships for path in one.paths)
    rules = tree_rules(tree, layout, description)
    changes = relocate_tree(tree, rules, workers, progress)
    log.say(clock(), f"moved {len(changes)} files to {layout.prefix}")
    for change in changes:
        if change.refused:
            log.say(clock(), f"{change.path} could not be moved: {change.refused}")
    shipped = [one for one in unpacked if one.name in ships]
    kept = {path for one in shipped for path in one.paths}
    # What a package for building moved out of its way has its own name in the end.
    moved_back = {to: path for one in shipped for path, to in one.diverted.items() if path not in kept}
    owned = {one.name: tuple(moved_back.get(path, path) for path in one.paths) for one in shipped}
    left_out = {one.name: one.left_out for one in unpacked if one.name in ships}
    for wheel in lock.wheels:
        places = WheelPlaces(tree, rules.paths, description.dropped())
        placed = place_wheel(files[wheel.file], wheel.file, places)
        owned[wheel.file], left_out[wheel.file] = placed.paths, placed.left_out
        log.say(clock(), f"placed the wheel {wheel.file}")
    paths = (path for paths in owned.values() for path in paths)
    needs = ((one.path, map(os.fsdecode, one.needs)) for one in changes)
    require_kept((one for lost in left_out.values() for one in lost), paths, needs)
    require_needs(tree, lock, layout.family)
    root = sealed_root(layout, tree, writable=True)
    finish(
        root, description, progress, lambda step: log.say(clock(), step), lambda: _take_away(tree, only_now, moved_back)
    )
    log.say(clock(), f"{join_equal_files(tree)} bytes were there twice")
    _settle(tree, _moment(lock))
    only_for_building = len(unpacked) - len(ships)
    log.say(clock(), f"took away what {only_for_building} packages brought that were only there for building")
    return changes, {OWNERS_FILE: owners_text(tree, owned), LEFT_OUT_FILE: left_out_text(left_out)}, left


def _take_away(tree: Path, paths: Iterable[str], moved_back: Mapping[str, str]) -> None:
    """Takes away files and links that were only there for building, and directories that are empty then; what they had
    moved out of their way is put back."""
    try:
        for path in sorted(paths, reverse=True):
            (tree / path).unlink(missing_ok=True)
            for parent in (tree / path).parents:
                if parent == tree or any(parent.iterdir()):
                    break
                parent.rmdir()
        for place, own in moved_back.items():
            (tree / own).parent.mkdir(parents=True, exist_ok=True)
            (tree / place).rename(tree / own)
        for name in MERGED:
            if (tree / name).is_symlink() and not (tree / name).exists():
                (tree / name).unlink()
    except OSError as error:
        raise storage_error(error) from error


def tree_rules(tree: Path, layout: LayerLayout, description: LayerDescription) -> TreeRules:
    """How the unpacked `tree` moves to its prefix."""
    return TreeRules(
        paths=PathRules(os.fsencode(layout.prefix), paths_present(tree), KEPT_PATHS),
        machine=layout.family.machine,
        triplet=layout.family.triplet,
        loader=layout.loader.encode(),
        directories=layout.library_directories(description.trusted_directories),
        untouched=UNTOUCHED,
    )


def _moment(lock: Lock) -> float:
    """The time that generated files get, in seconds since 1970: that of the newest metadata, so it is the same whenever
    the lock is built."""
    return max((datetime.fromisoformat(suite.date).timestamp() for suite in lock.suites), default=0.0)


def _settle(tree: Path, moment: float) -> None:
    """Nothing is writable for others, nothing has a special permission, and what was made here has one time."""
    try:
        for directory, names, files in os.walk(tree, topdown=False):
            for name in files:
                path = os.path.join(directory, name)
                if not os.path.islink(path):
                    facts = os.stat(path)
                    os.chmod(path, 0o755 if facts.st_mode & 0o100 else 0o644)
                    if facts.st_mtime > moment:
                        os.utime(path, (moment, moment))
                else:
                    os.utime(path, (moment, moment), follow_symlinks=False)
            for name in names:
                path = os.path.join(directory, name)
                if os.path.islink(path):
                    os.utime(path, (moment, moment), follow_symlinks=False)
            os.chmod(directory, 0o755)
            os.utime(directory, (moment, moment))
    except OSError as error:
        raise storage_error(error) from error
