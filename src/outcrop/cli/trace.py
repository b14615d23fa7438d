"""`outcrop trace`"""

from __future__ import annotations

import errno
import os
import shlex
from pathlib import Path

import click

from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.client.trace.access import Access, encode_trace
from outcrop.client.trace.recorder import LocalFiles, Recorder, Watched
from outcrop.cvmfs.names import RepositoryName, repository_name
from outcrop.errors import NotFound, UsageError, storage_error
from outcrop.strace.asked_paths import AccessKind
from outcrop.strace.run import find_tracer, run_traced
from outcrop.whole_file import write_whole_file

CUSTOMARY_PLACE = Path("/cvmfs")
DEFAULT_FILE = Path("trace.jsonl")
STANDARD_OUTPUT = Path("-")
"""How many a program is told to write to standard output."""


@click.command(
    "trace",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog=examples(
        "outcrop trace -- python3 -c 'import numpy'          # writes trace.jsonl",
        "outcrop trace -o run.jsonl --repository software.example.org -- ./job.sh",
        "outcrop trace --below ~/mnt --repository software.example.org -- ~/mnt/bin/tool",
    ),
)
@click.argument("words", metavar="-- CMD…", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    default=DEFAULT_FILE,
    help="Where the trace is written.",
)
@click.option("--repository", metavar="FQRN", default="", help="Record this repository alone.")
@click.option(
    "--below",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where repositories are; with `--repository`, where that one is. /cvmfs by default.",
)
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    *,
    words: tuple[str, ...],
    output: Path,
    repository: str,
    below: Path | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Run CMD and record what it, and everything that it starts, reads of a repository.

    The trace says of each path how it was asked for, and whether anything was there. `outcrop pack --trace` makes an
    image of what a trace holds. CMD has the terminal to itself; its exit code becomes that of this command (128 and the
    number of the signal, if one ended it).
    """
    if not words:
        raise UsageError(problem="which program?", hint="`outcrop trace -- CMD ARGUMENT…`")
    if output == STANDARD_OUTPUT:
        raise UsageError(
            problem="standard output is that of CMD, so the trace cannot go there",
            hint=f"name a file with `-o FILE`; {DEFAULT_FILE} is the default",
        )
    watched = _watched(repository, below)
    tracer = find_tracer()
    if dry_run:
        console.result(f"would run {shlex.join(words)} and record what it reads below {watched.below} in {output}")
        return 0
    recorder = Recorder(watched, LocalFiles())
    _check_writable(output)
    code = run_traced(tracer, words, recorder.record)
    write_whole_file(output, encode_trace(recorder.accesses))
    if as_json:
        console.json(_document(recorder.accesses, output, code))
    else:
        _tell(console, recorder.accesses, output, watched)
    return code


def _watched(repository: str, below: Path | None) -> Watched:
    name: RepositoryName | None = repository_name(repository) if repository else None
    if name is None or below is not None:
        return Watched(below or CUSTOMARY_PLACE, name)
    return Watched(CUSTOMARY_PLACE / name, name)


def _check_writable(output: Path) -> None:
    """Says before a long run, not after it, that its trace cannot be written."""
    place = output.absolute().parent
    if not place.is_dir():
        raise NotFound(what=f"the directory {place}", hint=f"make it: `mkdir -p {shlex.quote(str(place))}`")
    if not os.access(place, os.W_OK | os.X_OK):
        raise storage_error(OSError(errno.EACCES, os.strerror(errno.EACCES)), str(place))


def _numbers(accesses: tuple[Access, ...]) -> dict[str, int]:
    """How many paths there are of each sort."""
    opened = {one.path for one in accesses if one.found and one.kind in (AccessKind.OPEN, AccessKind.EXEC)}
    found = {one.path for one in accesses if one.found}
    missing = {one.path for one in accesses if not one.found}
    return {"read": len(opened), "found": len(found), "missing": len(missing - found)}


def _document(accesses: tuple[Access, ...], output: Path, code: int) -> dict[str, object]:
    return {
        "trace": str(output),
        "exit_code": code,
        "repositories": sorted({one.repository for one in accesses}),
        **_numbers(accesses),
    }


def _tell(console: Console, accesses: tuple[Access, ...], output: Path, watched: Watched) -> None:
    numbers = _numbers(accesses)
    if not accesses:
        console.warning(f"nothing below {watched.below} was read; {output} is empty")
        return
    names = ", ".join(sorted({one.repository for one in accesses}))
    console.note(
        f"{output}: {numbers['found']:,} paths of {names}, {numbers['read']:,} of them read; "
        f"{numbers['missing']:,} were looked for and are not there"
    )
