"""What the commands for compatibility layers share: which layer, and where its packages come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from outcrop.cli.console import Console
from outcrop.cli.options import Command
from outcrop.compat.debian.archive import Archive, archive_addresses
from outcrop.compat.debian.package_mirror import PARTIAL, PackageMirror
from outcrop.compat.debian.signature import archive_keyring
from outcrop.compat.exchange import put_back
from outcrop.compat.family import Family, family_named, this_family
from outcrop.compat.layout import LayerLayout
from outcrop.compat.package_sets import LayerDescription, read_description
from outcrop.compat.record import description_in
from outcrop.cvmfs.names import repository_name
from outcrop.directories import cache_directory
from outcrop.errors import InvalidValue
from outcrop.software.sources.download import Downloads, remove_abandoned
from outcrop.software.stack import STACK_FILE, Stack, read_stack, version_problem

_MIRROR_DIRECTORY = "packages"
_COMPAT_DIRECTORY = "compat"


def stack_options(command: Command) -> Command:
    """`--stack`, `--repository`, `--version`: the stack that the layer is for."""
    directory = f"The directory with {STACK_FILE} and the sets in {_COMPAT_DIRECTORY}/, by default this one."
    for option in (
        click.option("--version", metavar="V", help="The version of the stack, instead of the stack's."),
        click.option("--repository", metavar="FQRN", help="The repository to build for, instead of the stack's."),
        _directory_option(directory),
    ):
        command = option(command)
    return command


def sets_option(command: Command) -> Command:
    """`--stack`, where only its sets matter."""
    return _directory_option(f"The directory with the sets in {_COMPAT_DIRECTORY}/, by default this one.")(command)


def recorded_sets_option(command: Command) -> Command:
    """`--stack`, where a layer's record has sets already."""
    text = f"A directory with sets in {_COMPAT_DIRECTORY}/, instead of the layer's recorded ones."
    return _directory_option(text)(command)


def _directory_option(text: str) -> Callable[[Command], Command]:
    """`--stack`, which `text` explains."""
    directory = click.Path(path_type=Path, file_okay=False, exists=True)
    return click.option("--stack", "stack_directory", type=directory, help=text)


def set_options(command: Command) -> Command:
    """`--family`, `--release`, `--with`: what the layer is made of."""
    for option in (
        click.option("--with", "with_sets", multiple=True, metavar="SET", help="An optional set. May be given again."),
        click.option("--release", metavar="NAME", help="The release of Debian, instead of the declared one."),
    ):
        command = option(command)
    return command


def occasion_options(command: Command) -> Command:
    """`--author`, `--message`, `--since`: what a layer's changelog says of its build."""
    for option in (
        click.option(
            "--since",
            type=click.Path(path_type=Path, exists=True),
            metavar="PATH|LOCK",
            help="The layer before, for the changelog, instead of the one that is replaced.",
        ),
        click.option("--message", "-m", default="", help="Why it is built, for the layer's changelog."),
        click.option("--author", default="", metavar="NAME", help="Who builds it, instead of the stack's maintainer."),
    ):
        command = option(command)
    return command


def mirror_options(command: Command) -> Command:
    """`--mirror`, `--debian-mirror`, `--keyring`: where packages come from."""
    for option in (
        click.option(
            "--keyring",
            type=click.Path(path_type=Path, dir_okay=False),
            help="A file with the public keys of Debian's archive, instead of this machine's.",
        ),
        click.option(
            "--debian-mirror",
            "debian_mirrors",
            multiple=True,
            metavar="URL",
            help="A mirror of Debian's archive, instead of those that apt is set up for. May be given again.",
        ),
        packages_option,
    ):
        command = option(command)
    return command


def packages_option(command: Command) -> Command:
    """`--mirror`: the packages that were fetched."""
    return click.option(
        "--mirror",
        type=click.Path(path_type=Path, file_okay=False),
        help="The directory that keeps packages, by default in the cache directory.",
    )(command)


@dataclass(frozen=True, slots=True)
class ChosenLayer:
    """The stack that a layer is for, and what the layer is described as."""

    stack: Stack
    description: LayerDescription

    def layout(self, family: Family) -> LayerLayout:
        stack = self.stack
        return LayerLayout(stack.repository, stack.version, family, stack.mount_root, stack.variable_prefix)


def chosen_directory(directory: Path | None) -> Path | None:
    """The stack's own directory of sets; None where it has none."""
    own = (directory or Path()) / _COMPAT_DIRECTORY
    return own if own.is_dir() else None


def chosen_description(directory: Path | None) -> LayerDescription:
    """The description in the stack's directory, or the one that comes with Outcrop."""
    return read_description(chosen_directory(directory))


def declared_layer(record: Path, stack_directory: Path | None) -> LayerDescription:
    """What the layer of the directory `record` was described as; with `--stack`, what that describes now. NotFound,
    FormatError, StorageError."""
    return chosen_description(stack_directory) if stack_directory else description_in(record)


def chosen_layer(directory: Path | None, repository: str | None, version: str | None) -> ChosenLayer:
    """What the options say, over what the stack's directory says. InvalidValue where neither names a repository, and
    for a version that is none."""
    if version and (problem := version_problem(version)):
        raise InvalidValue(what="--version", problem=problem, hint="a version is like 2026.06")
    place = directory or Path()
    description = chosen_description(directory)
    if (place / STACK_FILE).is_file():
        stack = read_stack(place)
        stack = Stack(
            repository_name(repository) if repository else stack.repository,
            version or stack.version,
            stack.variable_prefix,
            stack.mount_root,
            maintainer=stack.maintainer,
        )
    elif repository and version:
        stack = Stack(repository_name(repository), version)
    else:
        raise InvalidValue(
            what="the layer",
            problem=f"is for no stack: {place.absolute()} has no {STACK_FILE}",
            hint="name its directory with --stack, or give --repository and --version",
        )
    return ChosenLayer(stack, description)


def chosen_family(name: str | None) -> Family:
    """The family `--family` names, or this machine's."""
    return family_named(name) if name else this_family()


def chosen_packages(mirror: Path | None, *, offline: bool = False) -> PackageMirror:
    """The packages that `--mirror` names, or the default ones; with a way to fetch more unless `offline`."""
    place = (mirror or cache_directory() / _MIRROR_DIRECTORY).absolute()
    if offline:
        return PackageMirror(place)
    remove_abandoned(place / PARTIAL)
    return PackageMirror(place, Downloads(place / PARTIAL))


def chosen_archive(mirror: PackageMirror, debian_mirrors: Sequence[str], keyring: Path | None) -> Archive:
    """Where metadata come from, and the keys that they must be signed with."""
    return Archive(archive_addresses(debian_mirrors), mirror, archive_keyring(keyring))


def tell_put_back(console: Console, tree: Path) -> None:
    """Says so where the layer `tree` has to be put back that a killed build has left aside; StorageError."""
    if put_back(tree):
        console.warning(f"{tree} is the old layer again: a build was killed just when its own was to take this place")
