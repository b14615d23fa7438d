"""The demonstration itself, chapter by chapter."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath

from outcrop.client.address import RepositoryAddress
from outcrop.cvmfs.metainfo import Metainfo
from outcrop.delivery.publish import publish_build
from outcrop.demo.layer import DemoLayer, demo_layer, publish_demo_layer
from outcrop.demo.reading import Stage, appear, choose_stage, explore, readable, run_in_clean_shell
from outcrop.demo.serving import served
from outcrop.demo.telling import Chapter, Story, Teller
from outcrop.demo.workshop import Workshop, opened_workshop
from outcrop.errors import CommandFailed
from outcrop.init.detect import detect
from outcrop.init.machine import read_machine
from outcrop.software.build import (
    BuildRequest,
    PreparedBuild,
    available_processors,
    prepare,
    run,
)
from outcrop.software.demo_stack import (
    DEMO_REPOSITORY,
    AnswerCheck,
    demo_checks,
    system_gcc_version,
    write_demo_stack,
)
from outcrop.software.easybuild_plan import require_easybuild
from outcrop.software.easybuild_run import BuildStep, StepState
from outcrop.software.lmod import require_lmod
from outcrop.software.sources.fetch import FetchSettings, fetch_sources
from outcrop.stratum0.create import create_repository, plan_creation
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.settings import RepositorySettings, record_path
from outcrop.stratum0.signing.whitelist_care import renew_whitelist

SHOWN_LINES = 4
"""How much of the program's answer is shown: enough to see that it is one."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the user may choose. `port` 0 is any that is free."""

    directory: Path
    port: int = 0
    without_mount: bool = False
    without_layer: bool = False
    explore: bool = False
    environment: tuple[tuple[str, str], ...] = ()
    debian_mirrors: tuple[str, ...] = ()


def plan() -> tuple[str, ...]:
    """The chapters, in order."""
    return (
        "Keys and repository",
        "Compatibility layer",
        "Target of this machine",
        "Sources",
        "Build",
        "Publish",
        "Serve and read",
        "Load and run",
    )


def run_demo(options: DemoOptions, teller: Teller) -> tuple[Chapter, ...]:
    """Everything, from keys to a program's answer; CommandFailed if the answer is wrong. Returns chapters and times."""
    story = Story(teller)
    with opened_workshop(options.directory) as workshop:
        titles = iter(plan())
        repository = _repository(workshop, story, next(titles))
        theatre = choose_stage(workshop, DEMO_REPOSITORY, story)
        layer = _layer(workshop, theatre, options, story, next(titles))
        gcc = layer.gcc if layer is not None else system_gcc_version()
        prepared = _prepared(workshop, theatre, layer, gcc, story, next(titles))
        _fetch(workshop, prepared, options, story, next(titles))
        _build_and_publish(workshop, prepared, layer, repository, story, next(titles), next(titles))
        with _reading(workshop, theatre, repository, options, story, next(titles)) as source:
            init = theatre.place / "versions" / prepared.layout.version / "init" / "bash"
            for check in demo_checks(gcc):
                _load_and_run(workshop, theatre, source, init, check, story, next(titles))
            if options.explore:
                story.say("a shell with the stack loaded; `exit` ends the demonstration")
                explore(workshop, theatre, source, init)
    return tuple(story.chapters)


def _repository(workshop: Workshop, story: Story, title: str) -> OwnedRepository:
    now = datetime.now(UTC)
    with story.chapter(title):
        if record_path(workshop.data, DEMO_REPOSITORY).exists():
            repository = OwnedRepository.open(workshop.data, DEMO_REPOSITORY)
            renew_whitelist(repository, now)
            story.say(f"{DEMO_REPOSITORY} is there from an earlier run; its whitelist is signed anew")
            return repository
        settings = RepositorySettings(name=DEMO_REPOSITORY, storage=str(workshop.storage / DEMO_REPOSITORY))
        metainfo = Metainfo(organisation="Outcrop", description="The demonstration's software")
        repository = create_repository(plan_creation(workshop.data, settings, metainfo), now)
        story.say("a master key, a signing key with its certificate, and a signed whitelist are made")
        story.say(f"{DEMO_REPOSITORY} is created, empty, as revision 1")
        return repository


def _layer(workshop: Workshop, theatre: Stage, options: DemoOptions, story: Story, title: str) -> DemoLayer | None:
    with story.chapter(title):
        if not options.without_layer:
            return demo_layer(workshop, theatre, options.debian_mirrors, story)
        story.say("the compiler and the Lmod of this machine are used")
        return None


def _prepared(
    workshop: Workshop, theatre: Stage, layer: DemoLayer | None, gcc: str, story: Story, title: str
) -> PreparedBuild:
    with story.chapter(title):
        machine = read_machine()
        detection = detect(machine.cpuinfo, machine.machine_type)
        for sentence in detection.explanation():
            story.say(sentence)
        require_easybuild()
        if layer is None:
            require_lmod(os.environ)
        stack = write_demo_stack(workshop.stack, gcc, version("easybuild"))
        workshop.tree.mkdir(parents=True, exist_ok=True)
        appear(theatre, workshop.tree)  # where no sandbox brings it to the final prefix
        request = BuildRequest(
            stack=replace(stack, mount_root=theatre.mount_root),
            target=detection.best,
            easystacks=stack.easystacks(),
            tree=workshop.tree,
            mirror=workshop.sources,
            jobs=available_processors(),
        )
        prepared = prepare(request)
        story.say(f"software is built for {detection.best}, by GCC {gcc} with {prepared.optarch}")
        return prepared


def _fetch(workshop: Workshop, prepared: PreparedBuild, options: DemoOptions, story: Story, title: str) -> None:
    with story.chapter(title):
        settings = FetchSettings(workshop.indices, dict(options.environment), options.debian_mirrors)
        outcome = fetch_sources(prepared.plan.files, workshop.sources, settings, story.teller.progress())
        for one in outcome.fetched:
            story.say(f"{one.file.wanted.name} comes from {one.origin} and has the checksum that its easyconfig names")
        outcome.require_complete()
        if not outcome.fetched:
            story.say(f"all {len(outcome.present)} source files are in the mirror already, with the right checksums")


def _build_and_publish(
    workshop: Workshop,
    prepared: PreparedBuild,
    layer: DemoLayer | None,
    repository: OwnedRepository,
    story: Story,
    build_title: str,
    publish_title: str,
) -> None:
    def listen(step: BuildStep) -> None:
        if step.state is StepState.DONE:
            story.say(f"{step.module} is built, in {step.seconds:.0f} s ({step.number} of {step.total})")

    with story.chapter(build_title):
        outcome = run(prepared, listen)
        outcome.held_back.require_nothing(prepared.tree.root / prepared.layout.software)
        for note in outcome.notes:
            story.say(note)
        if not outcome.built:
            story.say(f"all {len(outcome.skipped)} installations are there from an earlier run")
    with story.chapter(publish_title):
        if layer is not None:
            publish_demo_layer(workshop, repository, layer, story)
        published = publish_build(
            repository, prepared, outcome, now=datetime.now(UTC), progress=story.teller.progress()
        )
        summary = published.summary
        size = summary.bytes_in / 1e6
        catalogs = "1 catalog" if summary.catalogs == 1 else f"{summary.catalogs} catalogs"
        if published.published:
            story.say(
                f"revision {published.manifest.revision}: {summary.added:,} added, {summary.changed:,} changed, "
                f"{summary.removed:,} removed; {size:.1f} MB, {catalogs}, signed"
            )
        else:
            story.say(f"nothing has changed since revision {published.manifest.revision}")


@contextmanager
def _reading(
    workshop: Workshop,
    theatre: Stage,
    repository: OwnedRepository,
    options: DemoOptions,
    story: Story,
    title: str,
) -> Iterator[Path]:
    """The repository, served on this machine and readable, while the block runs."""
    with ExitStack() as running:
        with story.chapter(title):
            url = running.enter_context(served(workshop, repository.name, options.port))
            story.say(f"{url} serves it on this machine")
            address = RepositoryAddress(repository.name, (url,), (repository.keys.public_key,))
            source = running.enter_context(
                readable(workshop, address, theatre, story, without_mount=options.without_mount)
            )
        yield source


def _load_and_run(
    workshop: Workshop,
    theatre: Stage,
    source: Path,
    init: PurePosixPath,
    check: AnswerCheck,
    story: Story,
    title: str,
) -> None:
    with story.chapter(title):
        command = shlex.join(check.command)
        script = f"source {shlex.quote(str(init))} >&2 && module load {shlex.quote(check.module)} && {command}"
        answer = run_in_clean_shell(workshop, theatre, source, script, check.stdin)
        for line in answer.stderr.splitlines():
            story.say(f"  {line}")
        if answer.returncode != 0:
            raise CommandFailed(
                what=f"`module load {check.module} && {command}`",
                problem=f"exit code {answer.returncode}",
                hint="the lines above say why; `outcrop demo --explore` lets you try by hand",
            )
        if answer.stdout != check.expected:
            raise CommandFailed(
                what=f"`{command}`", problem="it ran, but its answer is wrong", hint="please report this"
            )
        story.say(f"{command} answers, and the answer is right:")
        for line in _beginning(answer.stdout.splitlines()):
            story.say(f"  {line}")


def _beginning(lines: Sequence[str]) -> list[str]:
    shown = list(lines[:SHOWN_LINES])
    return [*shown, "…"] if len(lines) > SHOWN_LINES else shown
