"""`outcrop pack`"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cli.quantities import counted
from outcrop.cli.reading import Reading, reading_options_with
from outcrop.cli.relocate import check_proof, relocation_document, run_proof, tell_proof, tell_relocation
from outcrop.client.checkout_place import check_free, check_new_file
from outcrop.client.pack.formats import Format, PackForm, form_of
from outcrop.client.pack.image import PackImage
from outcrop.client.pack.oci import Platform
from outcrop.client.pack.packing import PackRequest, pack
from outcrop.client.pack.selection import Selection, SelectionOptions, select_paths, select_trace
from outcrop.client.pack.verdict import Verdict
from outcrop.client.pack.verification import verify_pack
from outcrop.client.relocate.plan import RelocationPlan, plan_relocation
from outcrop.client.relocate.prefix import Prefix, check_room, prefix
from outcrop.client.relocate.relocation import relocate
from outcrop.client.trace.access import parse_trace
from outcrop.client.tree import Tree
from outcrop.cvmfs.entry import EntryKind
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.paths import RepositoryPath, repository_path, shown
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
@click.option("--at", metavar="PREFIX", help="Where the repository's root is in the pack (/cvmfs/FQRN).")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Fill in variant links. Repeatable.")
@click.option("--owner", is_flag=True, help="Keep users and groups, instead of making all root's.")
@click.option("--platform", metavar="OS/ARCH", help="For whom an OCI image is; this machine by default.")
@click.option("--relocate", "target", metavar="TO", help="Make the directory X run from TO instead of /cvmfs/FQRN.")
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

    Every byte is verified. `/.outcrop-pack.json` in the pack says what is in it, and `--verify` checks a pack by it.
    """
    if verify is not None:
        _verify(console, verify, as_json)
        return
    output = _checked_request(reading, paths, trace, output)
    form = form_of(output, Format(format_name) if format_name else None)
    _check_destination(output, form, owner)
    command_line = shlex.split(proving or "")
    check_proof(bool(proving), command_line, dry_run)
    relocated_to = _relocation_target(target, form, at, bool(proving))
    machines = Platform.parse(platform) if platform else Platform.of_this_machine()
    options = SelectionOptions(_settings(settings), owner)
    with reading.open(console) as repository:
        selection = _selection(repository.tree, paths, trace, options)
        image = PackImage(selection, _place("/" if relocated_to else at, selection.repository))
        original = prefix(f"/cvmfs/{selection.repository}")
        if relocated_to is not None:
            check_room(original, relocated_to)
        if not dry_run:
            request = PackRequest(image, form, owner=owner, machines=machines)
            pack(request, repository.tree, repository.contents, output, console.progress(), console.warning)
    relocation = None
    if relocated_to is not None and not dry_run:
        relocation = plan_relocation(output, original, relocated_to, console.progress())
        relocate(relocation, console.progress())
    if as_json:
        proof = run_proof(console, relocation, command_line) if relocation and command_line else None
        more = {} if relocation is None else {"relocation": relocation_document(relocation, dry_run, proof)}
        console.json(_document(image, form, output) | more)
    else:
        _tell(console, image, form, output, dry_run)
        if relocation is not None:
            _tell_relocated(console, relocation, command_line)


def _relocation_target(target: str | None, form: PackForm, at: str | None, proving: bool) -> Prefix | None:
    if target is None:
        if proving:
            raise UsageError(problem="`--prove` is about what was relocated", hint="add `--relocate TO`")
        return None
    if form.format is not Format.DIRECTORY or at is not None:
        raise UsageError(
            problem="what is relocated is packed as a directory, with the repository's root as its own",
            hint="leave `--at` away and name a directory: `-o X --format directory`",
        )
    return prefix(target, "the path")


def _tell_relocated(console: Console, relocation: RelocationPlan, command_line: Sequence[str]) -> None:
    tell_relocation(console, relocation, dry_run=False)
    if command_line:
        tell_proof(console, run_proof(console, relocation, command_line), relocation.original)


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
        return select_paths(tree, (_inner_path(path, tree.repository) for path in paths), options)
    try:
        data = trace.read_bytes()
    except OSError as error:
        raise storage_error(error, str(trace)) from error
    return select_trace(tree, parse_trace(data, f"the trace {trace}"), options)


def _inner_path(text: str, repository: RepositoryName) -> RepositoryPath:
    """What a user calls a path: that of the repository, or as it is seen below /cvmfs."""
    path = repository_path(text)
    return repository_path(path.removeprefix(b"/cvmfs/" + repository.encode())) if _is_seen(path, repository) else path


def _is_seen(path: bytes, repository: RepositoryName) -> bool:
    return (path + b"/").startswith(b"/cvmfs/" + repository.encode() + b"/")


def _place(at: str | None, repository: RepositoryName) -> RepositoryPath:
    return repository_path(f"/cvmfs/{repository}" if at is None else at)


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
        "problems": list(found.problems),
    }
