"""`outcrop run`"""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click
from click.core import ParameterSource

from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cli.reading import Reading, reading_options
from outcrop.client.ladder.climb import Climbed, Refused, choose, climb, rungs_for
from outcrop.client.ladder.launch import PREFIX_VARIABLE
from outcrop.client.ladder.recent_way import RecentWay
from outcrop.client.ladder.relocator import the_relocator
from outcrop.client.ladder.request import RunRequest
from outcrop.client.ladder.ways import Way
from outcrop.client.reading_settings import ClientSettings
from outcrop.client.recent_proof import RecentProof
from outcrop.cvmfs.names import RepositoryName, repository_name
from outcrop.cvmfs.paths import repository_path, shown
from outcrop.directories import cache_directory, runtime_directory, state_directory
from outcrop.errors import InvalidValue, UsageError

_DASHES = "--"
_USAGE = "`outcrop run [OPTIONS] REPO[@TAG] [PATH...] -- COMMAND [ARGUMENT...]`"
_WAYS = [way.value for way in Way]


@click.command(
    "run",
    context_settings={"allow_interspersed_args": False},
    epilog=examples(
        "outcrop run software.example.org -- /cvmfs/software.example.org/bin/tool --help",
        "outcrop run software.example.org@2026.06 -- bash          # a shell that sees the tag 2026.06",
        "outcrop run --explain software.example.org -- make        # say which way was taken, and why",
        "outcrop run --way checkout software.example.org /tools -- ./job.sh   # a copy of /tools alone",
        "outcrop run --dry-run software.example.org -- true        # which way would it be?",
    ),
)
@reading_options
@click.argument("words", nargs=-1, metavar="[PATH...] -- COMMAND...", type=click.UNPROCESSED)
@click.option(
    "--way",
    type=click.Choice(_WAYS),
    metavar="WAY",
    help=f"Show it this way, or fail: {', '.join(_WAYS[:-1])} or {_WAYS[-1]}.",
)
@click.option("--explain", "-v", is_flag=True, help="Say which way is taken, and why no better one.")
@click.option("--image", metavar="FILE", default="", help="The image in which Apptainer runs the command.")
@click.option(
    "--relocate-to", metavar="DIR", type=click.Path(path_type=Path), help="A short directory for relocated copies."
)
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    *,
    reading: Reading,
    words: tuple[str, ...],
    way: str | None,
    explain: bool,
    image: str,
    relocate_to: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run COMMAND so that it sees the repository REPO at /cvmfs/FQRN, in the best way that works on this machine.

    Nothing has to be mounted or prepared, and nothing of it is left when the command and what it started have ended.
    The command takes the place of `outcrop run`: its exit code, signals and terminal are its own. OUTCROP_RUN_WAY tells
    it the way, OUTCROP_RUN_PREFIX where the repository is. (Outside of a run, OUTCROP_RUN_WAY stands for --way.)

    Ways that need a copy make one in the cache, of all or of each PATH, and use it again; it grows with the repository.
    `--json` belongs to `--dry-run`.
    """
    paths, line = _split(words)
    request = _request(console, reading, paths, line, image, relocate_to)
    rungs = rungs_for(request)
    only = None if way is None or _is_of_an_outer_run(request) else Way(way)
    if dry_run:
        choice = choose(rungs, only)
        _tell_plan(console, request, choice.way, choice.refused, line, as_json)
        return
    recent = None if only is not None else _recent_way(request, reading, image)
    ready = climb(rungs, only) if recent is None else recent.climb(rungs)
    console.close()
    if explain:
        _explain(console, ready.way, ready.refused)
    else:
        _keep(request, ready, recent)
    console.flush()
    ready.become(line)


def _recent_way(request: RunRequest, reading: Reading, image: str) -> RecentWay:
    """The way that this user's run took for the same request, and the same program, a moment ago."""
    program = request.command[:1]
    said = (*program, *map(shown, request.paths), image, str(request.relocate_to or ""), *reading.question())
    return RecentWay.of(request.settings.state_directory, request.name, said)


def _keep(request: RunRequest, ready: Climbed, recent: RecentWay | None) -> None:
    """Keeps what this run has found out for the same command line, as far as that can be found again by its words."""
    words = sys.argv[2:]
    if sys.argv[1:2] != ["run"] or _DASHES not in words:
        return
    if tuple(words[words.index(_DASHES) + 1 :]) != request.command:
        return
    # Few runs take this way, and those once in a while.
    from outcrop.client.ladder.found_again import known_run
    from outcrop.client.ladder.run_again import keep

    known = known_run(ready.become, recent)
    if known is not None:
        keep(words, known, str(request.settings.state_directory), request.environment)


def _is_of_an_outer_run(request: RunRequest) -> bool:
    """Whether the way comes from OUTCROP_RUN_WAY as a run that we are in has set it: it tells, and does not ask."""
    source = click.get_current_context().get_parameter_source("way")
    return source is ParameterSource.ENVIRONMENT and PREFIX_VARIABLE in request.environment


def _split(words: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The paths before `--`, and the command behind it."""
    if _DASHES not in words:
        raise UsageError(problem="which command is to be run?", hint=_USAGE)
    position = list(words).index(_DASHES)
    paths, line = tuple(words[:position]), tuple(words[position + 1 :])
    if not line:
        raise UsageError(problem="which command is to be run?", hint=_USAGE)
    misplaced = [path for path in paths if path.startswith("-")]
    if misplaced:
        raise UsageError(problem=f"{misplaced[0]} stands behind REPO", hint=f"options come first: {_USAGE}")
    return paths, line


def _request(
    console: Console,
    reading: Reading,
    paths: Sequence[str],
    line: tuple[str, ...],
    image: str,
    relocate_to: Path | None,
) -> RunRequest:
    repository, tag = _without_tag(reading.repository)
    if tag and reading.tag:
        raise UsageError(problem="REPO@TAG and --tag both name a tag", hint="use one of them")
    reading = dataclasses.replace(reading, repository=repository, tag=tag or reading.tag)
    name = _name(console, reading)
    settings = _settings(reading)
    return RunRequest(
        name=name,
        address=functools.cache(lambda: reading.address(console)),
        settings=settings,
        choice=reading.choice(),
        paths=tuple(repository_path(path) for path in paths),
        command=line,
        image=image,
        relocate_to=None if relocate_to is None else Path(os.path.abspath(relocate_to)),
        relocator=the_relocator(),
        log=_log(name),
        recent=RecentProof.of(settings.state_directory, name, reading.question()),
        places=reading.places,
        progress=console.progress(),
        tell=console.warning,
        note=console.note,
    )


def _without_tag(text: str) -> tuple[str, str]:
    """REPO and TAG of `text`. An `@` before the last `/` belongs to a URL."""
    repository, at, tag = text.rpartition("@")
    if at and repository and not tag:
        raise UsageError(
            problem=f"no tag stands behind the @ of {text}",
            hint="leave the @ out to read the current revision; in a script, is the variable set?",
        )
    return (repository, tag) if at and repository and "/" not in tag else (text, "")


def _name(console: Console, reading: Reading) -> RepositoryName:
    """The repository's name. What is no URL is one, whether this machine knows it or not: it may be mounted."""
    if reading.name:
        return repository_name(reading.name)
    if "/" in reading.repository:
        return reading.address(console).name
    return repository_name(reading.repository)


def _settings(reading: Reading) -> ClientSettings:
    """How it is read. Where this user has no home, as in some batch jobs, directories among temporary files serve."""
    return ClientSettings(
        cache=reading.cache,
        cache_directory=_found(cache_directory) or runtime_directory() / "cache",
        state_directory=_found(state_directory) or runtime_directory() / "state",
    )


def _log(name: RepositoryName) -> Path | None:
    """Where the server of a mount writes its log; None where nothing can be kept."""
    directory = _found(state_directory)
    if directory is None:
        return None
    path = directory / "mounts" / f"{name}-run.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError:
        return None
    return path


def _found(directory: Callable[[], Path]) -> Path | None:
    """The directory that `directory` finds; None where nobody says where it is."""
    try:
        found = directory()
    except InvalidValue:
        return None
    return found if found.is_absolute() else None


def _explain(console: Console, way: Way, refused: Sequence[Refused]) -> None:
    for each in refused:
        console.note(f"not {each.way.value}: {each.obstacle.reason}")
    console.note(f"the way is {way.value}: {way.description}")


def _tell_plan(
    console: Console, request: RunRequest, way: Way, refused: Sequence[Refused], line: Sequence[str], as_json: bool
) -> None:
    if as_json:
        console.json(
            {
                "repository": request.name,
                "way": way.value,
                "place": str(request.prefix),
                "command": list(line),
                "refused": [
                    {"way": each.way.value, "reason": each.obstacle.reason, "hint": each.obstacle.hint}
                    for each in refused
                ],
            }
        )
        return
    console.result(f"run    {' '.join(line)}")
    console.result(f"with   {request.name} at {request.prefix}")
    console.result(f"by     {way.value}: {way.description}")
    for each in refused:
        console.result(f"not    {each.way.value}: {each.obstacle.reason}")
