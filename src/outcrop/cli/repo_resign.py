"""`outcrop repo resign`"""

from __future__ import annotations

import shlex
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import click

from outcrop.cli.console import Console
from outcrop.cli.options import dry_run_option, examples, json_option
from outcrop.cli.pin import token_access
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.names import RepositoryName, repository_name
from outcrop.cvmfs.whitelist import Whitelist
from outcrop.directories import data_directory
from outcrop.errors import NotFound, UsageError, storage_error
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.signing.keys import WHITELIST_DAYS
from outcrop.stratum0.signing.master_key import MasterKey, open_master_key, open_own_master_key
from outcrop.stratum0.signing.offline_signing import (
    check_signature,
    export_request,
    import_signature,
    make_request,
    pending_request,
    require_worth_signing,
    sign_request,
)
from outcrop.stratum0.signing.signing_request import MAXIMUM_REQUEST_BYTES, SigningRequest
from outcrop.stratum0.signing.whitelist_care import renew_whitelist, upcoming_whitelist


@click.command(
    "resign",
    epilog=examples(
        "outcrop repo resign tools.example.org --days 90",
        "outcrop repo resign tools.example.org --master-key /media/stick/tools.example.org.masterkey",
        "outcrop repo resign tools.example.org --export-request request.txt   # the master key is elsewhere",
        "outcrop repo resign tools.example.org --sign-request request.txt --master-key tools.masterkey",
        "outcrop repo resign tools.example.org --import-signature request.txt.signature",
    ),
)
@click.argument("fqrn")
@click.argument("request", required=False, type=click.Path(path_type=Path))
@click.option(
    "--days", type=click.IntRange(1, 3650), default=WHITELIST_DAYS, show_default=True, help="How long it is valid."
)
@click.option("--master-key", metavar="FILE|URI", help="The master key: a file, or a `pkcs11:` URI.")
@click.option("--drop", multiple=True, metavar="FINGERPRINT", help="Do not let this certificate publish any more.")
@click.option(
    "--export-request",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write what the master key has to sign to FILE, and sign nothing.",
)
@click.option(
    "--sign-request",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Sign the request in FILE with `--master-key`. It needs no repository.",
)
@click.option(
    "--signature",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where `--sign-request` writes the signature; the request's name and `.signature` by default.",
)
@click.option(
    "--import-signature",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Publish REQUEST (the one exported last, unless it is named) with the signature in FILE.",
)
@dry_run_option
@json_option
@click.pass_obj
def command(
    console: Console,
    *,
    fqrn: str,
    request: Path | None,
    days: int,
    master_key: str | None,
    drop: tuple[str, ...],
    export_request: Path | None,
    sign_request: Path | None,
    signature: Path | None,
    import_signature: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Sign the whitelist of the repository FQRN anew, so that readers go on trusting it.

    It needs the master key: the file FQRN.masterkey, the token that `outcrop repo keys` names, or `--master-key`.
    The PIN of a token is asked for, or taken from OUTCROP_PKCS11_PIN.

    Where the master key is on a machine without a network, take it a request, and bring the signature back. OpenSSL
    alone can sign too: the request says how (`openssl pkeyutl -sign`).
    """
    modes = [mode for mode in (export_request, sign_request, import_signature) if mode is not None]
    if len(modes) > 1:
        raise UsageError(
            problem="of --export-request, --sign-request and --import-signature only one can be done at a time",
            hint="they are three steps, the second on the machine with the master key",
        )
    if (request is not None and import_signature is None) or (signature is not None and sign_request is None):
        raise UsageError(
            problem="REQUEST belongs to --import-signature, and --signature to --sign-request",
            hint="`outcrop repo resign --help` shows the three steps",
        )
    name, now = repository_name(fqrn), datetime.now(UTC)
    answer = _Answer(console, name, dry_run, as_json)
    if sign_request is not None:
        target = signature or sign_request.with_name(sign_request.name + ".signature")
        _sign(answer, sign_request, master_key, target, now)
        return
    repository = OwnedRepository.open(data_directory(), name)
    if export_request is not None:
        _export(answer, repository, export_request, now, days, _fingerprints(drop))
    elif import_signature is not None:
        _import(answer, repository, import_signature, request, now)
    else:
        _renew(answer, repository, master_key, now, days, _fingerprints(drop))


class _Answer:
    """How each of the four ways answers."""

    def __init__(self, console: Console, name: RepositoryName, dry_run: bool, as_json: bool) -> None:
        self.console, self.name, self.dry_run, self._as_json = console, name, dry_run, as_json

    def give(self, whitelist: Whitelist, done: str, sentence: str, file: Path | None = None) -> None:
        """`done` names in JSON what happened (or would), `sentence` says it to people."""
        if self._as_json:
            document: dict[str, object] = {
                "repository": self.name,
                "expires": f"{whitelist.expires:%Y-%m-%dT%H:%M:%SZ}",
                "fingerprints": [one.text for one in whitelist.fingerprints],
                done: not self.dry_run,
            }
            self.console.json(document | ({"file": str(file)} if file is not None else {}))
            return
        self.console.result(sentence)


def _renew(
    answer: _Answer,
    repository: OwnedRepository,
    master_key: str | None,
    now: datetime,
    days: int,
    drop: tuple[Digest, ...],
) -> None:
    if answer.dry_run:
        whitelist = upcoming_whitelist(repository, now, days, drop)
    else:
        with _master_key(repository, master_key) as key:
            whitelist = renew_whitelist(repository, now, days, master_key=key, drop=drop)
    verb = "would be" if answer.dry_run else "is"
    moment = f"{whitelist.expires:%Y-%m-%dT%H:%M:%SZ}"
    answer.give(whitelist, "signed", f"the whitelist of {repository.name} {verb} valid until {moment}")


def _master_key(repository: OwnedRepository, address: str | None) -> AbstractContextManager[MasterKey]:
    if address:
        return open_master_key(address, token_access())
    return open_own_master_key(repository.settings, repository.keys, token_access())


def _export(
    answer: _Answer, repository: OwnedRepository, target: Path, now: datetime, days: int, drop: tuple[Digest, ...]
) -> None:
    request = make_request(repository, now, days, drop)
    if not answer.dry_run:
        export_request(repository, request, target)
    verb = "would be" if answer.dry_run else "is"
    answer.give(request.whitelist, "exported", f"a request for {request.digest} {verb} in {target}", target)
    if not answer.dry_run:
        command = f"outcrop repo resign {repository.name} --sign-request {shlex.quote(target.name)} --master-key KEY"
        answer.console.note(f"next, where the master key is: {command}")


def _sign(answer: _Answer, source: Path, master_key: str | None, target: Path, now: datetime) -> None:
    if not master_key:
        raise UsageError(
            problem="--sign-request needs --master-key", hint="name the key file, or the token as `pkcs11:token=…`"
        )
    request = SigningRequest.parse(_read(source), str(source))
    require_worth_signing(request, answer.name, now)
    whitelist = request.whitelist
    answer.console.note(f"{answer.name} until {whitelist.expires:%Y-%m-%d %H:%M} UTC, published by holders of")
    for fingerprint in whitelist.fingerprints:
        answer.console.note(f"  {fingerprint}")
    if not answer.dry_run:
        with open_master_key(master_key, token_access()) as key:
            signature = sign_request(request, key)
        try:
            target.write_bytes(signature)
        except OSError as error:
            raise storage_error(error, str(target)) from error
    verb = "would be" if answer.dry_run else "is"
    answer.give(whitelist, "signed", f"the signature for {request.digest} {verb} in {target}", target)


def _import(
    answer: _Answer, repository: OwnedRepository, source: Path, request_file: Path | None, now: datetime
) -> None:
    if request_file is None:
        request = pending_request(repository.keys)
    else:
        request = SigningRequest.parse(_read(request_file), str(request_file))
    signature = _read(source)
    if answer.dry_run:
        check_signature(repository, request, signature, now)
    else:
        import_signature(repository, request, signature, now)
    verb = "would be" if answer.dry_run else "is"
    moment = f"{request.whitelist.expires:%Y-%m-%dT%H:%M:%SZ}"
    sentence = f"the whitelist of {repository.name} {verb} valid until {moment}"
    answer.give(request.whitelist, "signed", sentence)


def _fingerprints(texts: tuple[str, ...]) -> tuple[Digest, ...]:
    return tuple(Digest.parse(one.replace(":", "").lower(), what="--drop", field="the fingerprint") for one in texts)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAXIMUM_REQUEST_BYTES + 1)
    except FileNotFoundError as error:
        raise NotFound(what=f"the file {path}", hint="check the path") from error
    except OSError as error:
        raise storage_error(error, str(path)) from error
