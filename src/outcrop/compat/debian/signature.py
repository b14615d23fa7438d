"""The signature of Debian's metadata, checked by `gpgv` against the archive's public keys."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from outcrop.errors import MissingCapability, NotFound, TrustError, storage_error

GPGV = "gpgv"

KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
    Path("/usr/share/debian-keyring/keyrings/debian-archive-keyring.gpg"),
)
"""Where distributions install the archive's public keys: Debian's own package, and others' packages of it."""

_SECONDS = 60
_HASH_FIELD = 7
"""Where VALIDSIG names the algorithm of the digest, as RFC 9580 numbers them."""
_BROKEN_HASHES = ("1", "2", "3")
"""MD5, SHA-1 and RIPEMD-160."""

_KEYRING_HINT = "install the package `debian-archive-keyring`, or name a file with the keys with `--keyring`"


def archive_keyring(given: Path | None, places: Sequence[Path] = KEYRINGS) -> Path:
    """The file with the archive's public keys; NotFound where there is none."""
    for place in (given,) if given else places:
        if place.is_file():
            return place
    raise NotFound(what=str(given) if given else "the keyring of Debian's archive", hint=_KEYRING_HINT)


def signed_text(
    document: bytes,
    keyring: Path,
    what: str,
    find_program: Callable[[str], str | None] = shutil.which,
) -> str:
    """What one of the keys in `keyring` has signed of `document`, a text with its signature (`InRelease`).

    Raises TrustError where the signature does not hold, MissingCapability without `gpgv`."""
    program = find_program(GPGV)
    if program is None:
        raise MissingCapability(
            what="checking Debian's signatures",
            problem=f"the program `{GPGV}` is not installed",
            hint="install the package `gpgv` (`gnupg2` on RHEL, `gpg2` on openSUSE)",
        )
    try:
        with TemporaryDirectory(prefix="outcrop-signature-") as place:
            signed = Path(place, "signed")
            signed.write_bytes(document)
            checked = subprocess.run(
                [
                    program,
                    "--status-fd",
                    "2",
                    "--keyring",
                    str(keyring.absolute()),
                    "--output",
                    "-",  # a file could be cut by a full disk, and gpgv would still call it good
                    str(signed),
                ],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=_SECONDS,
                env={"LC_ALL": "C", "GNUPGHOME": place},
            )
            said = checked.stderr.decode("utf-8", "replace")
            if is_proof(said):
                return checked.stdout.decode("utf-8", "replace")
    except OSError as error:
        raise storage_error(error) from error
    except subprocess.TimeoutExpired as error:
        raise TrustError(what=what, problem=f"`{GPGV}` did not answer in {_SECONDS} s") from error
    raise TrustError(what=what, problem=_problem(said, keyring), hint=_KEYRING_HINT)


def is_proof(said: str) -> bool:
    """Whether `said`, the status lines of `gpgv`, prove a text: one signature by a known key that holds today, over a
    digest that is not broken, and none that contradicts it. A signature by an unknown key proves nothing, and does no
    harm. Source: GnuPG's `doc/DETAILS`."""
    good = proven = False
    for name, words in _states(said):
        if name in ("BADSIG", "NODATA", "BADARMOR"):
            return False
        if name == "NEWSIG":
            good = False
        elif name == "GOODSIG":
            good = True
        elif name in ("EXPSIG", "EXPKEYSIG", "REVKEYSIG"):
            good = False
        elif name == "VALIDSIG" and good and len(words) > _HASH_FIELD:
            proven |= words[_HASH_FIELD] not in _BROKEN_HASHES
    return proven


def _states(said: str) -> list[tuple[str, list[str]]]:
    lines = (line.split() for line in said.splitlines())
    return [(words[1], words[2:]) for words in lines if len(words) > 1 and words[0] == "[GNUPG:]"]


def _problem(said: str, keyring: Path) -> str:
    states = dict(_states(said))
    if "BADSIG" in states:
        return "its text was changed after it was signed"
    if "EXPKEYSIG" in states or "KEYEXPIRED" in states:
        return "it is signed by a key that has expired"
    if "REVKEYSIG" in states:
        return "it is signed by a key that was revoked"
    if "GOODSIG" in states:
        return "it is signed over a digest that anybody can forge"
    if "NO_PUBKEY" in states:
        return f"it is signed by the key {states['NO_PUBKEY'][0]}, which is not in {keyring}"
    return "it has no signature that holds"
