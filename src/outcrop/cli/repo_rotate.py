"""`outcrop repo rotate`"""

from __future__ import annotations

import shlex
import time
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cli.pin import token_access
from outcrop.cli.quantities import counted
from outcrop.cvmfs.names import repository_name
from outcrop.directories import data_directory
from outcrop.errors import NotFound, UsageError
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.signing.keys import WHITELIST_DAYS, KeyFiles
from outcrop.stratum0.signing.master_key import MasterKey, open_master_key, open_own_master_key
from outcrop.stratum0.signing.master_rotation import (
    MasterRotation,
    activate,
    master_rotation,
    prepare,
    require_no_older_key,
    require_usable,
)
from outcrop.stratum0.signing.offline_signing import export_request, make_request
from outcrop.stratum0.signing.rotation import (
    RotationPlan,
    RotationStep,
    begin,
    default_grace,
    plan_rotation,
    replace_grace,
    steps_of_run,
    switch,
    told,
    told_grace,
)
from outcrop.stratum0.signing.rotation_record import load_rotation
from outcrop.stratum0.signing.whitelist_care import renew_whitelist

MAXIMUM_GRACE_SECONDS = 90 * 24 * 3600


@click.command(
    "rotate",
    epilog=examples(
        "outcrop repo rotate tools.example.org   # again some minutes later, until it says that it is done",
        "outcrop repo rotate tools.example.org --wait --finish   # all of it in one go",
        "outcrop repo rotate tools.example.org --grace 7200   # replicas look for news every two hours",
        "outcrop repo rotate tools.example.org --export-request request.txt   # the master key is elsewhere",
        "outcrop repo rotate tools.example.org --lost --wait --finish   # the signing key is gone",
        "outcrop repo rotate tools.example.org --master",
        "outcrop repo rotate tools.example.org --master --activate",
    ),
)
@click.argument("fqrn")
@click.option("--wait", is_flag=True, help="Wait where caches need time, and go on.")
@click.option("--finish", is_flag=True, help="Take the old certificate off the whitelist when its time has come.")
@click.option(
    "--grace",
    type=click.IntRange(0, MAXIMUM_GRACE_SECONDS),
    metavar="SECONDS",
    help="How long caches and replicas may be behind; by default 61 seconds and the time to live. "
    "It also holds for what is left of a rotation that is under way.",
)
@click.option(
    "--days",
    type=click.IntRange(1, 3650),
    default=WHITELIST_DAYS,
    show_default=True,
    help="How long a whitelist that is signed on the way is valid.",
)
@click.option("--master-key", metavar="FILE|URI", help="The master key: a file, or a `pkcs11:` URI.")
@click.option(
    "--export-request",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write what the master key has to sign for the new certificate to FILE.",
)
@click.option("--lost", is_flag=True, help="The signing key is lost: its certificate alone tells what is ours.")
@click.option("--master", is_flag=True, help="Replace the master key instead of the signing key.")
@click.option("--activate", is_flag=True, help="With `--master`: the clients have the new key, so sign with it.")
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    *,
    fqrn: str,
    wait: bool,
    finish: bool,
    grace: int | None,
    days: int,
    master_key: str | None,
    export_request: Path | None,
    lost: bool,
    master: bool,
    activate: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Replace the signing key of the repository FQRN without cutting off readers.

    First the whitelist lists the old certificate and the new one; when every cache has it, a second call signs with the
    new key; a later `outcrop repo resign` drops the old certificate. Every call does what can be done by then, and can
    be repeated after an interruption. Replicas must have taken a snapshot between two calls: give their interval as
    `--grace`. A key that is lost is replaced in the same way; only until then nobody can publish.

    With `--master` it makes a new master key. Hand FQRN.pub.next out to every client, beside FQRN.pub (clients take
    several keys); when all have it, `--master --activate` signs with the new key. Whoever has only the old one is cut
    off then. For a master key that is elsewhere, make the new one there, put its public half here as FQRN.pub.next,
    and have it sign a request of `outcrop repo resign`.
    """
    if activate and not master:
        raise UsageError(problem="--activate belongs to --master", hint="the signing key needs no such step")
    if master and (wait or finish or lost or grace is not None or master_key or export_request):
        raise UsageError(
            problem="--master goes with --activate and --days only", hint="`outcrop repo rotate --help` says more"
        )
    repository = OwnedRepository.open(data_directory(), repository_name(fqrn))
    if master:
        _rotate_master(console, repository, activate, days, dry_run, as_json)
        return
    length = timedelta(seconds=grace) if grace is not None else None
    plan = plan_rotation(repository, _now(), length, lost=lost)
    usual = default_grace(repository)
    if length is not None and plan.grace < usual:
        console.warning(
            f"readers behind caches may be {counted(int(usual.total_seconds()), 'second')} behind, and be refused "
            f"after {counted(int(plan.grace.total_seconds()), 'second')} of grace"
        )
    if plan.step is RotationStep.BEGIN and finish and not wait:
        raise NotFound(
            what=f"a rotation of {repository.name} that could be finished",
            hint=f"`outcrop repo rotate {repository.name}` begins one",
        )
    steps = steps_of_run(plan.step, wait=wait, finish=finish)
    if export_request is not None:
        steps = tuple(step for step in steps if step in (RotationStep.BEGIN, RotationStep.ANNOUNCE))
    # Said before anything is done: a step may make what another one's words depend on.
    sentences = [told(repository, step, plan) for step in steps]
    run = _Run(console, repository, plan, days, master_key, export_request, lost)
    new_grace = told_grace(plan)
    if new_grace is not None:
        # Before all steps: each of them goes by what is recorded.
        if not dry_run:
            replace_grace(repository, plan.grace)
        if not as_json:
            _tell_step(console, new_grace, dry_run)
    for step, sentence in zip(steps, sentences, strict=True):
        if not dry_run:
            run.take(step)
        if not as_json:
            _tell_step(console, sentence, dry_run)
    if as_json:
        told_plan = sentences if new_grace is None else [new_grace, *sentences]
        console.json(_document(repository, plan, steps, told_plan, dry_run))
    elif not dry_run or (not steps and new_grace is None):
        console.result(_what_comes_next(repository, master_key))


def _tell_step(console: Console, sentence: str, dry_run: bool) -> None:
    console.result(f"{'would' if dry_run else 'done:'} {sentence}")
    console.flush()


def _now() -> datetime:
    return datetime.now(UTC)


class _Run:
    """Takes the steps of one call."""

    def __init__(
        self,
        console: Console,
        repository: OwnedRepository,
        plan: RotationPlan,
        days: int,
        master_key: str | None,
        request: Path | None,
        lost: bool,
    ) -> None:
        self._console, self._repository, self._plan = console, repository, plan
        self._days, self._master_key, self._request, self._lost = days, master_key, request, lost

    def take(self, step: RotationStep) -> None:
        repository = self._repository
        match step:
            case RotationStep.BEGIN:
                begin(repository, _now(), self._plan.grace, lost=self._lost)
            case RotationStep.ANNOUNCE if self._request is not None:
                export_request(repository, make_request(repository, _now(), self._days), self._request)
            case RotationStep.ANNOUNCE | RotationStep.DROP:
                with self._opened() as key:
                    renew_whitelist(repository, _now(), self._days, master_key=key)
            case RotationStep.WAIT_TO_SWITCH | RotationStep.WAIT_TO_DROP:
                self._wait()
            case RotationStep.SWITCH:
                switch(repository, _now())

    def _opened(self) -> AbstractContextManager[MasterKey]:
        if self._master_key:
            return open_master_key(self._master_key, token_access())
        return open_own_master_key(self._repository.settings, self._repository.keys, token_access())

    def _wait(self) -> None:
        record = load_rotation(self._repository.keys)
        if record is None or record.due_at is None:
            return
        seconds = (record.due_at - _now()).total_seconds()
        if seconds > 0:
            self._console.note(f"waiting until {record.due_at:%H:%M:%S} UTC for caches to forget what is older")
            time.sleep(seconds)


def _document(
    repository: OwnedRepository,
    plan: RotationPlan,
    steps: tuple[RotationStep, ...],
    sentences: list[str],
    dry_run: bool,
) -> dict[str, object]:
    record = plan.record if dry_run else load_rotation(repository.keys)
    due = record.due_at if record is not None else None
    return {
        "repository": repository.name,
        "steps": [step.value for step in steps],
        "plan": sentences,
        "done": not dry_run,
        "phase": record.phase.value if record is not None else None,
        "due": f"{due:%Y-%m-%dT%H:%M:%SZ}" if due is not None else None,
    }


def _what_comes_next(repository: OwnedRepository, master_key: str | None) -> str:
    name, record = repository.name, load_rotation(repository.keys)
    if record is None:
        return f"{name} is published with the new key; the old one is on no whitelist any more"
    plan = plan_rotation(repository, _now())
    with_key = f" --master-key {shlex.quote(master_key)}" if master_key else ""
    again, resign = f"outcrop repo rotate {name}{with_key}", f"outcrop repo resign {name}{with_key}"
    match plan.step:
        case RotationStep.ANNOUNCE:
            return f"next: let the master key sign ({resign}), then type `{again}` again"
        case RotationStep.WAIT_TO_SWITCH | RotationStep.SWITCH:
            return f"next: from {record.due_at:%Y-%m-%d %H:%M:%S} UTC on, type `{again}` again"
        case _:
            return (
                f"{name} is published with the new key; from {record.due_at:%Y-%m-%d %H:%M:%S} UTC on, "
                f"`{resign}` or `{again} --finish` drops the old certificate"
            )


def _rotate_master(
    console: Console, repository: OwnedRepository, to_activate: bool, days: int, dry_run: bool, as_json: bool
) -> None:
    files = repository.keys
    state = master_rotation(repository)
    if to_activate:
        require_usable(files, state)
        steps = _activation(files, state)
        if not dry_run:
            activate(repository, _now(), days)
    else:
        require_no_older_key(files)
        steps = [f"make {files.next_master_key.name} and {files.next_public_key.name}"]
        if state is not MasterRotation.NONE:
            steps = []
        if not dry_run:
            prepare(repository)
    if as_json:
        after = state if dry_run else master_rotation(repository)
        console.json(
            {"repository": repository.name, "plan": steps, "done": not dry_run, "master_rotation": after.value}
        )
        return
    for step in steps:
        console.result(f"{'would' if dry_run else 'done:'} {step}")
    if dry_run:
        return
    if to_activate:
        console.result(f"the whitelist of {repository.name} is signed with the new master key")
        kept = [path.name for path in (files.previous_master_key, files.previous_public_key) if path.exists()]
        there = f", move {' and '.join(kept)} to a safe place" if kept else ", the rotation is complete"
        console.note(f"next: when every client has {files.public_key.name}{there}")
    else:
        console.result(f"clients need {files.next_public_key}, beside {files.public_key.name}")
        console.note(f"next, when all have it: outcrop repo rotate {repository.name} --master --activate")


def _activation(files: KeyFiles, state: MasterRotation) -> list[str]:
    """What an activation does, as far as the files are there that it is about."""
    steps = [] if state is MasterRotation.SIGNED else [f"sign the whitelist with {files.next_master_key.name}"]
    for upcoming, present, previous in (
        (files.next_master_key, files.master_key, files.previous_master_key),
        (files.next_public_key, files.public_key, files.previous_public_key),
    ):
        moved = f"put {upcoming.name} in the place of {present.name}"
        if upcoming.exists():
            steps.append(f"{moved}, which stays as {previous.name}" if present.exists() else moved)
        elif present.exists():
            steps.append(f"move {present.name} to {previous.name}")
    return steps
