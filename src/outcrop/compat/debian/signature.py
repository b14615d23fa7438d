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
            signed, plain = Path(place, "signed"), Path(place, "plain")
            signed.write_bytes(document)
            checked = subprocess.run(
                [
                    program,
                    "--status-fd",
                    "2",
                    "--keyring",
                    str(keyring.absolute()),
                    "--output",
                    str(plain),
                    str(signed),
                ],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=_SECONDS,
                env={"LC_ALL": "C", "GNUPGHOME": place},
            )
            if checked.returncode == 0 and plain.exists():
                return plain.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise storage_error(error) from error
    except subprocess.TimeoutExpired as error:
        raise TrustError(what=what, problem=f"`{GPGV}` did not answer in {_SECONDS} s") from error
    raise TrustError(
        what=what, problem=_problem(checked.stderr.decode("utf-8", "replace"), keyring), hint=_KEYRING_HINT
    )


def _problem(said: str, keyring: Path) -> str:
    states = {
        words[1]: words[2:] for line in said.splitlines() if len(words := line.split()) > 1 and words[0] == "[GNUPG:]"
    }
    if "BADSIG" in states:
        return "its text was changed after it was signed"
    if "EXPKEYSIG" in states or "KEYEXPIRED" in states:
        return "it is signed by a key that has expired"
    if "NO_PUBKEY" in states:
        return f"it is signed by the key {states['NO_PUBKEY'][0]}, which is not in {keyring}"
    return "it has no signature that holds"
