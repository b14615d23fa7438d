"""Replacing the signing key so that no reader is ever refused, whatever old files its caches still hold.

Readers take two files that change, the manifest and the whitelist, and each may come from a cache. So the whitelist
lists the new certificate long before the manifest uses it, and the old one long after:

1. **Begin**: a new key and certificate, beside the old ones.
2. **Announce**: a whitelist with both fingerprints. It needs the master key.
3. Wait until every cache has it (`grace`).
4. **Switch**: the new files take the place of the old ones; the manifest is signed anew.
5. Wait again.
6. **Drop**: a whitelist with the new fingerprint alone. Any renewal of the whitelist does it when the time has come.

Each step can be done again after an interruption. The switch is one rename, of the key; from then on whatever is
published is signed with the new key, and a manifest by the old one still counts as our own (`SigningKey.is_ours`).
Where the rename of the certificate is missing, `load_signing_key` takes the next one.

No step needs the old key itself, only its certificate. So one that is lost is replaced in the same way.

The grace of a rotation that is under way can be replaced, as for a key that turns out to be stolen. That is one write
of the record before any other step, so after an interruption either the old grace holds or the new one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from outcrop.cvmfs.certificate import Certificate
from outcrop.cvmfs.history import History
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.objects import MANIFEST_NAME
from outcrop.cvmfs.signed_text import SignedText
from outcrop.cvmfs.whitelist import Whitelist
from outcrop.errors import TrustError
from outcrop.stratum0.publishing.publication import publish_tags
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.signing.key_files import PUBLIC_MODE, move_key_file, read_certificate, write_key_file
from outcrop.stratum0.signing.keys import KeyFiles, create_next_signing_key, is_signed_by, load_signing_key
from outcrop.stratum0.signing.lost_key import keep_certificate, known_certificate
from outcrop.stratum0.signing.rotation_record import RotationPhase, RotationRecord, load_rotation, save_rotation
from outcrop.stratum0.signing.whitelist_care import readable_whitelist
from outcrop.stratum0.signing.whitelist_rules import counted

CACHED_SECONDS = 61
"""How long caches keep the signed files, as the reference's web server tells them to, and ours."""


class RotationStep(Enum):
    """What a rotation does next."""

    BEGIN = "begin"
    ANNOUNCE = "announce"
    WAIT_TO_SWITCH = "wait to switch"
    SWITCH = "switch"
    WAIT_TO_DROP = "wait to drop"
    DROP = "drop"

    @property
    def needs_master_key(self) -> bool:
        return self in (RotationStep.ANNOUNCE, RotationStep.DROP)

    @property
    def waits(self) -> bool:
        return self in (RotationStep.WAIT_TO_SWITCH, RotationStep.WAIT_TO_DROP)


@dataclass(frozen=True, slots=True)
class RotationPlan:
    """The next step of a rotation, and the record so far (None before it begins).

    `replaced_grace` is what the record on disk says where `record` has another grace (`replace_grace`)."""

    step: RotationStep
    record: RotationRecord | None
    grace: timedelta
    replaced_grace: timedelta | None = None

    @property
    def due_at(self) -> datetime | None:
        """Until when there is nothing to do but wait."""
        return self.record.due_at if self.record is not None and self.step.waits else None


def default_grace(repository: OwnedRepository, manifest: Manifest | None = None) -> timedelta:
    """How long every reader behind caches may take to notice a new signed file: their age and readers' own pace."""
    ttl = max(repository.settings.ttl, manifest.ttl if manifest is not None else 0)
    return timedelta(seconds=CACHED_SECONDS + ttl)


def plan_rotation(
    repository: OwnedRepository, now: datetime, grace: timedelta | None = None, *, lost: bool = False
) -> RotationPlan:
    """What the rotation does next. `grace` also takes the place of what one that is under way began with; without it,
    one that begins has the default's length.

    `lost` says that one which begins has to do without the signing key (`outcrop.stratum0.signing.lost_key`)."""
    record = load_rotation(repository.keys)
    if record is None:
        manifest = _own_manifest(repository, _present_certificates(repository, lost))
        length = grace if grace is not None else default_grace(repository, manifest)
        return RotationPlan(RotationStep.BEGIN, None, length)
    replaced = record.grace if grace is not None and grace != record.grace else None
    if grace is not None:
        record = replace(record, grace=grace)
    published = readable_whitelist(repository)
    step = next_step(record, published.whitelist if published else None, now)
    return RotationPlan(step, record, record.grace, replaced)


def next_step(record: RotationRecord, published: Whitelist | None, now: datetime) -> RotationStep:
    """The step that a rotation on `record` takes at `now`, while readers see the whitelist `published`."""
    listed = published.fingerprints if published is not None else ()
    if record.phase is RotationPhase.SWITCHED:
        return RotationStep.DROP if record.is_due(now) else RotationStep.WAIT_TO_DROP
    if record.phase is RotationPhase.PREPARED or record.new not in listed:
        return RotationStep.ANNOUNCE
    return RotationStep.SWITCH if record.is_due(now) else RotationStep.WAIT_TO_SWITCH


def begin(repository: OwnedRepository, now: datetime, grace: timedelta, *, lost: bool = False) -> RotationRecord:
    """Makes the next signing key and its certificate; the record of a rotation that is under way already is kept."""
    files = repository.keys
    with repository.publishing():
        under_way = load_rotation(files)
        if under_way is not None:
            return under_way
        present = _present_certificates(repository, lost)
        _own_manifest(repository, present)
        keep_certificate(files, present[0])
        create_next_signing_key(files, now)
        algorithm = repository.settings.algorithm
        record = RotationRecord(
            old=present[0].fingerprint(algorithm),
            new=read_certificate(files.next_certificate).fingerprint(algorithm),
            grace=grace,
        )
        save_rotation(files, record)
    return record


def replace_grace(repository: OwnedRepository, grace: timedelta) -> None:
    """From now on the rotation that is under way gives caches `grace`. Nothing is written where none is under way."""
    with repository.publishing():
        record = load_rotation(repository.keys)
        if record is not None and record.grace != grace:
            save_rotation(repository.keys, replace(record, grace=grace))


def switch(repository: OwnedRepository, now: datetime) -> Manifest:
    """Puts the next key in the place of the signing key, and publishes the manifest signed with it.

    TrustError, and nothing is changed, unless readers have had the time to learn of it."""
    files = repository.keys
    # Alone: whoever has begun to publish holds the old key, and would end with a manifest that nobody lists any more.
    with repository.removing_objects(), repository.exclusively():
        plan = plan_rotation(repository, now)
        if plan.step is not RotationStep.SWITCH or plan.record is None:
            raise TrustError(
                what=f"the next signing key of {repository.name}",
                problem="readers have not had the time to learn of it",
                hint=f"`outcrop repo rotate {repository.name} --dry-run` says what comes next",
            )
        _swap(files)
        key = load_signing_key(files)
        manifest = publish_tags(
            repository, key, _own_manifest(repository, key.certificates), _no_change, int(now.timestamp())
        )
        save_rotation(files, replace(plan.record, switched_at=now))
    return manifest


def _swap(files: KeyFiles) -> None:
    """The next key and certificate in the place of the present ones; what an interrupted swap did is not done again."""
    if files.next_signing_key.exists():
        write_key_file(files.previous_certificate, read_certificate(files.certificate).pem, PUBLIC_MODE)
        move_key_file(files.next_signing_key, files.signing_key)
    move_key_file(files.next_certificate, files.certificate)


def _present_certificates(repository: OwnedRepository, lost: bool) -> tuple[Certificate, ...]:
    """The certificate of the signing key, and those of the keys before and after it if it is not `lost`."""
    return (known_certificate(repository),) if lost else load_signing_key(repository.keys).certificates


def _own_manifest(repository: OwnedRepository, certificates: Collection[Certificate]) -> Manifest:
    """What the repository says now; TrustError unless the key of one of these certificates says so."""
    what = f"{repository.store.address}/{MANIFEST_NAME}"
    signed = SignedText.parse(repository.store.read(MANIFEST_NAME), what)
    manifest = Manifest.parse(signed.text)
    if not is_signed_by(certificates, signed) or manifest.repository != repository.name:
        raise TrustError(
            what=what,
            problem=f"it was not signed for {repository.name} by any signing key of ours",
            hint="somebody else publishes there; nothing was changed",
        )
    return manifest


def _no_change(_history: History) -> None:
    """The tags stay as they are; only the signature is another."""


def steps_of_run(first: RotationStep, *, wait: bool, finish: bool) -> tuple[RotationStep, ...]:
    """The steps that one call takes from `first` on: up to where it would have to `wait`, and to the last one only if
    it is to `finish`."""
    order = list(RotationStep)
    steps: list[RotationStep] = []
    for step in order[order.index(first) :]:
        if (step.waits and not wait) or (step in _LAST_STEPS and not finish):
            break
        steps.append(step)
    return tuple(steps)


_LAST_STEPS = (RotationStep.WAIT_TO_DROP, RotationStep.DROP)


def told_grace(plan: RotationPlan) -> str | None:
    """What `plan` does about the grace of a rotation that is under way, in words; None if nothing."""
    if plan.replaced_grace is None:
        return None
    return f"give caches {_in_seconds(plan.grace)} instead of {_in_seconds(plan.replaced_grace)}"


def told(repository: OwnedRepository, step: RotationStep, plan: RotationPlan) -> str:
    """One step of a run that begins as `plan` says, in words."""
    files = repository.keys
    match step:
        case RotationStep.BEGIN:
            return f"make {files.next_signing_key.name} and {files.next_certificate.name}"
        case RotationStep.ANNOUNCE:
            return "sign a whitelist that lists the present and the next certificate"
        case RotationStep.SWITCH:
            return f"put the next key in the place of {files.signing_key.name} and sign the manifest with it"
        case RotationStep.DROP:
            return "sign a whitelist without the old certificate"
        case RotationStep.WAIT_TO_SWITCH | RotationStep.WAIT_TO_DROP:
            whole = f"wait {_in_seconds(plan.grace)}"
            known = plan.due_at if step is plan.step else None
            span = whole if known is None else f"wait until {known:%Y-%m-%d %H:%M:%S} UTC"
            return f"{span}, for caches to forget what is older"


def _in_seconds(length: timedelta) -> str:
    return counted(int(length.total_seconds()), "second")
