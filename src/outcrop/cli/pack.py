"""`outcrop pack`"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cli.quantities import counted
from outcrop.cli.reading import Reading, reading_options_with
from outcrop.cli.relocate import check_proof, relocation_document, tell_proof, tell_relocation
from outcrop.client.cache.wanted_paths import asked_path
from outcrop.client.checkout_place import check_free, check_new_file
from outcrop.client.pack.formats import Format, PackForm, form_of
from outcrop.client.pack.image import PackImage
from outcrop.client.pack.oci import Platform
from outcrop.client.pack.packing import PackRequest, pack
from outcrop.client.pack.selection import Selection, SelectionOptions, select_paths, select_trace
from outcrop.client.pack.staging import Relocated, Relocation
from outcrop.client.pack.verdict import Verdict
from outcrop.client.pack.verification import verify_pack
from outcrop.client.relocate.prefix import check_room, prefix
from outcrop.client.trace.access import parse_trace
from outcrop.client.tree import Tree
from outcrop.cvmfs.entry import EntryKind
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.paths import ROOT, RepositoryPath, repository_path, shown
from outcrop.errors import IntegrityError, InvalidValue, MissingCapability, UsageError, storage_error

_PROBLEMS_TOLD = 20
"""How many differences are told one by one: what fits on a screen. `--json` has all of them."""


@click.command(
    "pack",
    epilog=examples(
        "outcrop pack software.example.org /versions/2026.06/init -o init.tar.gz",
        "outcrop pack software.example.org --trace trace.jsonl -o tool.squashfs",
        "outcrop pack software.example.org /bin/tool --tag 2026.06 -o tool.oci --platform linux/arm64",
        "outcrop pack software.example.org / -o all --at / --dry-run    # how much would it be?",
        "outcrop pack software.example.org /bin -o /s/x --relocate /s/x --prove '/s/x/bin/tool --help'",
        "outcrop pack software.example.org /bin -o soft.squashfs --relocate /opt/soft    # to be mounted there",
        "outcrop pack --verify tool.tar",
    ),
)
@reading_options_with(required=False)
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@click.option("--trace", type=click.Path(path_type=Path), metavar="FILE", help="Pack what a trace holds.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="X", help="The pack to make.")
@click.option(
    "--format",
    "format_name",
    type=click.Choice([one.value for one in Format]),
    help="What to make; by default what the name of X says, or a directory.",
)
@click.option("--at", metavar="PREFIX", help="Where the repository's root is in the pack; see above.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Fill in variant links. Repeatable.")
@click.option("--owner", is_flag=True, help="Keep users and groups, instead of making all root's.")
@click.option("--platform", metavar="OS/ARCH", help="For whom an OCI image is; this machine by default.")
@click.option("--relocate", "target", metavar="TO", help="Make the programs run from TO instead of /cvmfs/FQRN.")
@click.option("--prove", "proving", metavar="CMD", help="With `--relocate`: run CMD and show that it needs no /cvmfs.")
@click.option("--verify", type=click.Path(path_type=Path), metavar="X", help="Check a pack, and make none.")
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    *,
    reading: Reading,
    paths: tuple[str, ...],
    trace: Path | None,
    output: Path | None,
    format_name: str | None,
    at: str | None,
    settings: tuple[str, ...],
    owner: bool,
    platform: str | None,
    target: str | None,
    proving: str | None,
    verify: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make an image of the PATHs of the repository REPO, which needs neither network nor mount afterwards.

    A directory brings all that lies below it; directories on the way and targets of links come along. With `--trace`,
    exactly what `outcrop trace` recorded is packed. X is a directory, an archive (.tar, .tar.gz, .tar.zst), a file
    system (.squashfs, .erofs) or a container image (.oci, .oci.tar); the same input makes the same bytes.

    The repository is at /cvmfs/FQRN in the pack. With `--relocate` it is at TO in archives and container images, and in
    the place of the root in directories and file systems, which are to lie, or be mounted, at TO. `--prove` runs CMD on
    the files before the image is written: if it asks for /cvmfs/FQRN, the file that names it is told, and nothing is
    left behind.

    Every byte is verified. `/.outcrop-pack.json` in the pack says what is in it, and `--verify` checks a pack by it,
    also one that was relocated.
    """
    if verify is not None:
        if reading.repository or paths:
            problem = "a pack is checked by what stands in it, not against a repository"
            raise UsageError(problem=problem, hint=f"`outcrop pack --verify {shlex.quote(str(verify))}`")
        _verify(console, verify, as_json)
        return
    output = _checked_request(reading, paths, trace, output)
    form = form_of(output, Format(format_name) if format_name else None)
    _check_destination(output, form, owner)
    command_line = _words(proving)
    check_proof(proving is not None, command_line, dry_run)
    if proving is not None and target is None:
        raise UsageError(problem="`--prove` is about what was relocated", hint="add `--relocate TO`")
    machines = Platform.parse(platform) if platform else Platform.of_this_machine()
    options = SelectionOptions(_settings(settings), owner)
    relocated = None
    with reading.open(console) as repository:
        relocation = _relocation(repository.tree.repository, target, command_line)
        selection = _selection(repository.tree, paths, trace, options)
        image = PackImage(selection, _place(at, selection.repository, relocation, form))
        if not dry_run:
            request = PackRequest(image, form, owner=owner, machines=machines, relocation=relocation)
            console.flush()
            relocated = pack(
                request, repository.tree, repository.contents, output, console.progress(), console.warning
            )  # fmt: skip
    if as_json:
        more = (
            {} if relocated is None else {"relocation": relocation_document(relocated.plan, dry_run, relocated.proof)}
        )
        console.json(_document(image, form, output) | more)
    else:
        _tell(console, image, form, output, dry_run)
        if relocated is not None:
            _tell_relocated(console, relocated, output)


def _relocation(repository: RepositoryName, target: str | None, command_line: Sequence[str]) -> Relocation | None:
    """What `--relocate` and `--prove` ask for; the program's output is not our answer."""
    if target is None:
        return None
    original, to = prefix(f"/cvmfs/{repository}"), prefix(target, "the path")
    check_room(original, to)
    return Relocation(original, to, tuple(command_line), sys.stderr.fileno() if command_line else None)


def _tell_relocated(console: Console, relocated: Relocated, output: Path) -> None:
    plan = relocated.plan
    tell_relocation(console, plan, output, dry_run=False)
    if relocated.proof is not None:
        tell_proof(console, relocated.proof, plan.original)
    else:
        console.note("not proven: `--prove CMD` runs a program of it, and fails if that still needs the old prefix")


def _checked_request(reading: Reading, paths: tuple[str, ...], trace: Path | None, output: Path | None) -> Path:
    if not reading.repository:
        raise UsageError(problem="which repository?", hint="`outcrop pack REPO PATH… -o X`, or `--verify X`")
    if bool(paths) == (trace is not None):
        problem = "paths and a trace cannot be packed together" if paths else "pack what?"
        raise UsageError(problem=problem, hint="name paths (`/` for everything), or `--trace FILE`")
    if output is None:
        raise UsageError(problem="pack into what?", hint="`-o X`, as in `-o tool.tar`")
    return output


def _check_destination(output: Path, form: PackForm, owner: bool) -> None:
    if owner and form.format in (Format.DIRECTORY, Format.EROFS) and os.geteuid() != 0:
        raise MissingCapability(
            what="keeping owners in this format", problem="only root can", hint="leave `--owner` away, or pack a .tar"
        )
    check = check_free if form.is_directory else check_new_file
    check(output.resolve())


def _settings(given: tuple[str, ...]) -> dict[bytes, bytes] | None:
    settings: dict[bytes, bytes] = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not name or not separator:
            raise InvalidValue(what=f"the setting {text!r}", problem="is not of the form NAME=VALUE")
        settings[os.fsencode(name)] = os.fsencode(value)
    return settings or None


def _selection(tree: Tree, paths: tuple[str, ...], trace: Path | None, options: SelectionOptions) -> Selection:
    if trace is None:
        return select_paths(tree, (asked_path(path, tree.repository) for path in paths), options)
    try:
        data = trace.read_bytes()
    except OSError as error:
        raise storage_error(error, str(trace)) from error
    return select_trace(tree, parse_trace(data, f"the trace {trace}"), options)


def _words(command: str | None) -> list[str]:
    try:
        return shlex.split(command or "")
    except ValueError as error:
        raise InvalidValue(
            what=f"the command {command!r}", problem=f"cannot be read ({error})", hint="write it as for a shell"
        ) from error


def _place(at: str | None, repository: RepositoryName, relocation: Relocation | None, form: PackForm) -> RepositoryPath:
    """Where the repository's root is in the pack. What is relocated, and is a tree by itself, is to lie at its target;
    archives and container images hold all the directories that lead there."""
    if at is not None:
        return repository_path(at)
    if relocation is None:
        return repository_path(f"/cvmfs/{repository}")
    is_tree = form.format in (Format.DIRECTORY, Format.SQUASHFS, Format.EROFS)
    return ROOT if is_tree else RepositoryPath(relocation.target.path)


def _document(image: PackImage, form: PackForm, output: Path) -> dict[str, object]:
    selection = image.selection
    return {
        "repository": selection.repository,
        "revision": selection.revision,
        "root_catalog": selection.root_catalog.text,
        "output": str(output),
        "format": form.format.value,
        "at": shown(image.at),
        "files": selection.count(EntryKind.FILE),
        "directories": selection.count(EntryKind.DIRECTORY),
        "links": selection.count(EntryKind.SYMLINK),
        "bytes": selection.size,
    }


def _tell(console: Console, image: PackImage, form: PackForm, output: Path, dry_run: bool) -> None:
    selection = image.selection
    verb = "would be packed" if dry_run else "packed"
    console.result(
        f"{verb} as {form.format.value} {output}: {counted(selection.count(EntryKind.FILE), 'file')} in "
        f"{counted(selection.count(EntryKind.DIRECTORY), 'directory', 'directories')}, "
        f"{counted(selection.count(EntryKind.SYMLINK), 'symbolic link')}, {counted(selection.size, 'byte')}, "
        f"of {selection.repository} at {shown(image.at)}"
    )


def _verify(console: Console, path: Path, as_json: bool) -> None:
    found = verify_pack(path, console.progress())
    if as_json:
        console.json(_verdict_document(found))
    elif not found.problems:
        manifest = found.manifest
        console.result(
            f"{path} is what its manifest says: {found.files:,} files, {found.bytes:,} bytes, of revision "
            f"{manifest.revision} of {manifest.repository} ({manifest.root_catalog})"
        )
        if found.relocated_to is not None:
            console.result(
                f"relocated to {found.relocated_to}: {counted(found.relocated, 'entry', 'entries')} changed, each as "
                "relocation changes what the repository has"
            )
    else:
        for problem in found.problems[:_PROBLEMS_TOLD]:
            console.result(problem)
        if len(found.problems) > _PROBLEMS_TOLD:
            console.result(f"and {len(found.problems) - _PROBLEMS_TOLD:,} more")
    if found.problems:
        raise IntegrityError(
            what=f"the pack {path}",
            problem=f"{len(found.problems):,} entries are not what its manifest says",
            hint="make it again with `outcrop pack`, or copy it once more",
        )


def _verdict_document(found: Verdict) -> dict[str, object]:
    manifest = found.manifest
    return {
        "repository": manifest.repository,
        "revision": manifest.revision,
        "root_catalog": manifest.root_catalog.text,
        "files": found.files,
        "bytes": found.bytes,
        "relocated_to": None if found.relocated_to is None else str(found.relocated_to),
        "relocated": found.relocated,
        "problems": list(found.problems),
    }
