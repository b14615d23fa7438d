"""`outcrop repo keys`"""

from __future__ import annotations

from datetime import UTC, datetime

import click

from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cli.pin import token_access
from outcrop.cvmfs.names import repository_name
from outcrop.directories import data_directory
from outcrop.errors import OutcropError, UsageError
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.signing.freshness import PublishedFreshness
from outcrop.stratum0.signing.freshness_renewal import current_freshness, freshness_warnings
from outcrop.stratum0.signing.key_report import KeyReport, PublicHalf, report_keys
from outcrop.stratum0.signing.master_key import MasterKeyKind
from outcrop.stratum0.signing.token_move import move_to_token, plan_token_move
from outcrop.stratum0.signing.whitelist_rules import remaining

_MOMENT = "%Y-%m-%dT%H:%M:%SZ"
_PLACES = {
    MasterKeyKind.FILE: "the file {}",
    MasterKeyKind.TOKEN: "on a token, {}",
    MasterKeyKind.OFFLINE: "elsewhere ({} is not there)",
}


@click.command(
    "keys",
    epilog=examples(
        "outcrop repo keys tools.example.org",
        "outcrop repo keys tools.example.org --json",
        "outcrop repo keys tools.example.org --move-master-to-token 'pkcs11:token=outcrop'",
    ),
)
@click.argument("fqrn")
@click.option(
    "--move-master-to-token",
    metavar="URI",
    help="Let the PKCS#11 token of that URI hold the master key from now on.",
)
@dry_run_option
@json_option
@click.pass_obj
def command(console: Console, *, fqrn: str, move_master_to_token: str | None, dry_run: bool, as_json: bool) -> None:
    """Show the keys of the repository FQRN, what they are for, and when they expire.

    A master key can move to a PKCS#11 token: a URI as in RFC 7512 says which, `?module-path=` in it or
    OUTCROP_PKCS11_MODULE which library speaks to it. The key is put on the token unless one of that name is there.
    Where that cannot be done, use the token's own tool first: on a YubiKey, `ykman piv keys import 9c FQRN.masterkey`
    with a key of 2048 bits (3072 from firmware 5.7), then a URI that ends in `;id=%02`. The settings change only after
    the token has signed with the key that clients know. The file stays until you remove it.
    """
    repository = OwnedRepository.open(data_directory(), repository_name(fqrn))
    if move_master_to_token is not None:
        _move(console, repository, move_master_to_token, dry_run, as_json)
        return
    if dry_run:
        raise UsageError(problem="--dry-run belongs to --move-master-to-token", hint="without it nothing is changed")
    now = datetime.now(UTC)
    report = report_keys(repository, now)
    freshness = _freshness(repository)
    warnings = (*report.warnings, *freshness_warnings(repository.name, freshness, now))
    for warning in warnings:
        console.warning(warning)
    if as_json:
        console.json({**_document(repository, report, now), **_freshness_document(freshness), "warnings": warnings})
        return
    for label, value in [*_lines(report, now), *_freshness_lines(freshness, now)]:
        console.result(f"{label:<12} {value}".rstrip())


def _freshness(repository: OwnedRepository) -> PublishedFreshness | None:
    try:
        return current_freshness(repository)
    except OutcropError:
        return None  # the keys or the manifest are in trouble, which is among the warnings or for `repo check`


def _freshness_lines(freshness: PublishedFreshness | None, now: datetime) -> list[tuple[str, str]]:
    if freshness is None:
        return []
    until = freshness.holds_until
    told = (
        remaining(datetime.fromtimestamp(until, UTC), now) if until is not None else "none that readers could believe"
    )
    return [("freshness", f"record {told}" if until is not None else told)]


def _freshness_document(freshness: PublishedFreshness | None) -> dict[str, object]:
    if freshness is None:
        return {"freshness": None}
    until = freshness.holds_until
    return {
        "freshness": {
            "expires": f"{datetime.fromtimestamp(until, UTC):{_MOMENT}}" if until is not None else None,
            "maximum_age": freshness.announcement.maximum_age,
        }
    }


def _move(console: Console, repository: OwnedRepository, uri: str, dry_run: bool, as_json: bool) -> None:
    move = plan_token_move(repository, uri)
    imported = False if dry_run else move_to_token(repository, move, token_access())
    if as_json:
        console.json(
            {
                "repository": repository.name,
                "master_key": move.uri.text,
                "plan": move.steps(repository),
                "moved": not dry_run,
                "imported": imported,
            }
        )
        return
    if dry_run:
        for step in move.steps(repository):
            console.result(step)
        return
    console.result(f"{move.uri.text} is the master key of {repository.name}, and has signed with it")
    if move.from_file:
        console.note(f"next: take {repository.keys.master_key} to a safe place, and delete it on this machine")


def _lines(report: KeyReport, now: datetime) -> list[tuple[str, str]]:
    master, signing, whitelist = report.master, report.signing, report.whitelist
    lines = [
        ("master key", _PLACES[master.place.kind].format(master.place.address)),
        ("", f"{master.public.bits} bits, public key SHA-256 {master.public.fingerprint}"),
    ]
    if master.upcoming is not None:
        lines.append(("", f"next ({master.rotation.value}): {_half(master.upcoming)}"))
    lines += [
        ("signing key", f"{signing.bits} bits, certificate of {signing.subject}"),
        ("", f"fingerprint {signing.fingerprint}"),
        ("", f"certificate {remaining(signing.expires, now)}; clients do not look at that date"),
    ]
    if whitelist is None:
        lines.append(("whitelist", "none that readers could believe"))
    else:
        lines.append(("whitelist", f"issued on {whitelist.issued:%Y-%m-%d at %H:%M} UTC"))
        lines.append(("", remaining(whitelist.expires, now)))
        lines += [("", f"lists {one.fingerprint}, {one.whose.value}") for one in report.listed]
    if report.rotation is not None:
        due = report.rotation.due_at
        then = f"; the next step can follow from {due:%Y-%m-%d %H:%M:%S} UTC on" if due is not None else ""
        lines.append(("rotation", f"{report.rotation.phase.value}, to {report.rotation.new}{then}"))
    return lines


def _half(half: PublicHalf) -> str:
    return f"{half.bits} bits, public key SHA-256 {half.fingerprint}"


def _document(repository: OwnedRepository, report: KeyReport, now: datetime) -> dict[str, object]:
    master, signing, whitelist, rotation = report.master, report.signing, report.whitelist, report.rotation
    return {
        "repository": repository.name,
        "master_key": {
            "kind": master.place.kind.value,
            "place": master.place.address,
            "bits": master.public.bits,
            "public_key_sha256": master.public.fingerprint,
            "rotation": master.rotation.value,
            "next_public_key_sha256": master.upcoming.fingerprint if master.upcoming else None,
        },
        "signing_key": {
            "subject": signing.subject,
            "bits": signing.bits,
            "fingerprint": signing.fingerprint.text,
            "expires": f"{signing.expires:{_MOMENT}}",
            "days_left": (signing.expires - now).days,
        },
        "whitelist": None
        if whitelist is None
        else {
            "issued": f"{whitelist.issued:{_MOMENT}}",
            "expires": f"{whitelist.expires:{_MOMENT}}",
            "days_left": (whitelist.expires - now).days,
            "certificates": [{"fingerprint": one.fingerprint.text, "whose": one.whose.value} for one in report.listed],
        },
        "rotation": None
        if rotation is None
        else {
            "phase": rotation.phase.value,
            "old": rotation.old.text,
            "new": rotation.new.text,
            "due": f"{rotation.due_at:{_MOMENT}}" if rotation.due_at is not None else None,
        },
    }
