"""A signed Debian archive, made without Debian's tools: packages, indices, `InRelease`, and the keys that sign it.

    with gnupg_home() as gnupg:
        key = gnupg.make_key("an archive")
        archive = MadeArchive()
        archive.add_suite(MadeSuite("bookworm"), [MadePackage("bash")], key)
        network = archive.network()            # a Fetcher without a network
        with serving(archive.site()) as url:   # or a real server (tests.faulty_server)
            ...

`key.keyring` is the file with its public key. Source: the description of Debian's repositories.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.compat.debian.packages_made_here import XZ, MadePackage, compressed, written
from tests.faulty_server import Site
from tests.software.sources.pretended import PretendedNetwork

ADDRESS = "http://deb.example.org/debian"
"""Where `MadeArchive.network` shows an archive, by default."""

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
"""A moment at which a suite made here is current."""

GPG = shutil.which("gpg")
WITHOUT_GPG = "gpg, which signs the archive of these tests, is not installed"


def index_text(packages: Sequence[MadePackage]) -> str:
    """A `Packages` file."""
    return "\n".join(package.paragraph() for package in packages)


def debian_date(moment: datetime) -> str:
    return f"{moment:%a, %d %b %Y %H:%M:%S} UTC"


@dataclass(frozen=True, slots=True)
class MadeSuite:
    """What a suite's `InRelease` says besides its digests. `name` is the directory below `dists`, and the code name
    unless that is given; `label` is its `Suite`."""

    name: str
    label: str = "stable"
    codename: str = ""
    version: str = "12.1"
    date: datetime = NOW - timedelta(days=1)
    valid_until: datetime | None = NOW + timedelta(days=6)
    architectures: Sequence[str] = ("amd64",)

    def release(self, indices: Mapping[str, bytes]) -> str:
        """The unsigned text, for `indices` by their paths below the suite."""
        head = {
            "Origin": "Debian",
            "Suite": self.label,
            "Version": self.version,
            "Codename": self.codename or self.name,
            "Date": debian_date(self.date),
            "Valid-Until": debian_date(self.valid_until) if self.valid_until else "",
            "Acquire-By-Hash": "yes",
            "Architectures": " ".join(("all", *self.architectures)),
            "Components": "main contrib",
        }
        lines = [f" {_digest(data)} {len(data):>8} {path}\n" for path, data in indices.items()]
        return written({name: value for name, value in head.items() if value}) + "SHA256:\n" + "".join(lines)


@dataclass(slots=True)
class MadeArchive:
    """An archive's files, by their paths below its root."""

    files: dict[str, bytes] = field(default_factory=dict)

    def add_suite(
        self,
        suite: MadeSuite,
        packages: Sequence[MadePackage],
        *keys: MadeKey,
        compressions: Sequence[str] = (XZ,),
    ) -> None:
        """Adds `suite`, which has `packages`, signed by all of `keys`; its indices in all of `compressions`. As in
        Debian, the plain index is named and not there."""
        indices = {}
        for architecture in suite.architectures:
            chosen = [package for package in packages if package.architecture in (architecture, "all")]
            path = f"main/binary-{architecture}/Packages"
            plain = index_text(chosen).encode()
            indices[path] = plain
            for suffix in compressions:
                indices[path + suffix] = compressed(plain, suffix)
                self._add_index(suite.name, path + suffix, indices[path + suffix])
        for package in packages:
            self.files[package.filename] = package.data
        self.files[f"dists/{suite.name}/InRelease"] = signed(suite.release(indices), *keys)

    def _add_index(self, suite: str, path: str, data: bytes) -> None:
        self.files[f"dists/{suite}/{path}"] = data
        self.files[f"dists/{suite}/{os.path.dirname(path)}/by-hash/SHA256/{_digest(data)}"] = data

    def network(self, address: str = ADDRESS) -> PretendedNetwork:
        """A Fetcher that has the archive at `address`."""
        return PretendedNetwork({f"{address}/{path}": data for path, data in self.files.items()})

    def site(self) -> Site:
        """What a server on loopback can serve."""
        return Site(self.files)

    def write(self, root: Path) -> None:
        """Puts the files below `root`."""
        for path, data in self.files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A key with its public half in the file `keyring`. `made` is set for one that only works at another time."""

    gnupg: Gnupg
    fingerprint: str
    keyring: Path
    made: str = ""


@dataclass(frozen=True, slots=True)
class Gnupg:
    """A home of gpg with throw-away keys that have no passphrase."""

    home: Path

    def make_key(self, name: str, expires: str = "never", made: str = "", algorithm: str = "ed25519") -> MadeKey:
        """A new key. `made` (`20200101T000000`) and `expires` (`1d`) make one whose time is over."""
        told = self.run(
            *_at(made), "--passphrase", "", "--status-fd", "1", "--quick-generate-key", name, algorithm, "sign", expires
        )
        fingerprint = next(line.split()[3] for line in told.decode().splitlines() if " KEY_CREATED " in line)
        key = MadeKey(self, fingerprint, self.home / f"{fingerprint}.gpg", made)
        self.export(key.keyring, [key])
        return key

    def export(self, place: Path, keys: Collection[MadeKey]) -> None:
        """Writes the public halves of `keys` to `place`."""
        place.write_bytes(self.run("--export", *(key.fingerprint for key in keys)))

    def revoke(self, key: MadeKey) -> None:
        """Takes the key back, with the certificate that gpg made for this when it made the key."""
        certificate = self.home / "openpgp-revocs.d" / f"{key.fingerprint}.rev"
        # gpg puts a colon there, so that nobody does this by accident.
        self.run("--import", text=certificate.read_text().replace("\n:-----BEGIN", "\n-----BEGIN"))
        self.export(key.keyring, [key])

    def run(self, *arguments: str, text: str = "") -> bytes:
        assert GPG is not None
        command = [GPG, "--batch", "--quiet", "--no-tty", "--pinentry-mode", "loopback", *arguments]
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "GNUPGHOME": str(self.home)}
        ended = subprocess.run(command, input=text.encode(), capture_output=True, check=False, env=environment)
        assert ended.returncode == 0, ended.stderr.decode()
        return ended.stdout


@contextmanager
def gnupg_home() -> Iterator[Gnupg]:
    """A home of gpg for the block. It is not below pytest's directories, whose names are too long for the socket of
    gpg's agent."""
    with TemporaryDirectory(prefix="outcrop-gnupg-", ignore_cleanup_errors=True) as place:
        try:
            yield Gnupg(Path(place))
        finally:
            stop = shutil.which("gpgconf")
            if stop is not None:
                subprocess.run([stop, "--homedir", place, "--kill", "gpg-agent"], check=False, capture_output=True)


def signed(text: str, *keys: MadeKey, options: Sequence[str] = ()) -> bytes:
    """`text` with the signatures of `keys`, as `InRelease` has them; without keys, as it is."""
    if not keys:
        return text.encode()
    users = [word for key in keys for word in ("--local-user", key.fingerprint)]
    return keys[0].gnupg.run(*_at(keys[0].made), *users, *options, "--clearsign", text=text)


def _at(moment: str) -> list[str]:
    return ["--faked-system-time", moment] if moment else []


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
