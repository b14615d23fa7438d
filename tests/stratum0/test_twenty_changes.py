"""A repository after twenty changes of all kinds, made by the commands that people type."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from outcrop.cvmfs.names import repository_name
from outcrop.storage.directory import DirectoryStore
from outcrop.stratum0.check.owned import trusted_by
from outcrop.stratum0.check.repository import FULL, check_repository
from outcrop.stratum0.repository import OwnedRepository
from tests.conformance import section16
from tests.stratum0.reading import content, entries, published_tree
from tests.trees import build_every_kind

FQRN = "mixed.example.org"
EVERYTHING = ("--allow-privileged", "--allow-devices", "--allow-world-writable")


class Owner:
    """Somebody who types commands, and what the repository should hold then: the contents of files by path."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.files: dict[bytes, bytes] = {}
        self._environment = {**os.environ, "OUTCROP_DATA_DIR": str(place / "data")}
        self._noise = random.Random(20)
        self._trees = 0

    def types(self, *words: str) -> str:
        command = [sys.executable, "-m", "outcrop", "-q", "repo", *words]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    def tree(self, names: dict[str, int]) -> Path:
        """A new directory with files of the given sizes."""
        self._trees += 1
        top = self.place / f"tree{self._trees}"
        for name, size in names.items():
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_bytes(self._noise.randbytes(size))
        return top

    def expects(self, tree: Path, at: str) -> None:
        for path in tree.rglob("*"):
            if path.is_file() and not path.is_symlink():
                self.files[f"{at.rstrip('/')}/{path.relative_to(tree)}".encode()] = path.read_bytes()

    def misses(self, top: str) -> None:
        self.files = {path: data for path, data in self.files.items() if not path.startswith(top.encode())}


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_twenty_changes_of_all_kinds_leave_a_sound_repository(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    owner.types("create", FQRN, "--storage", str(tmp_path / "srv"))

    def ingest(tree: Path, at: str, *more: str) -> None:
        owner.types("ingest", FQRN, str(tree), "--at", at, *more)
        owner.expects(tree, at)

    build_every_kind(tmp_path / "kinds")
    owner.types("ingest", FQRN, str(tmp_path / "kinds"), "--at", "/kinds", *EVERYTHING)
    rules = owner.tree({})
    rules.mkdir()
    (rules / ".cvmfsdirtab").write_text("/software/*/*\n! *.tmp\n")
    ingest(rules, "/")
    gcc = owner.tree({f"bin/tool{number}": 2000 + number for number in range(40)} | {"lib/large": 10_000_000})
    ingest(gcc, "/software/gcc/14", "--tag", "gcc-14", "-m", "GCC 14")
    ingest(owner.tree({"bin/python": 9000, "lib/a.py": 10, "lib/b.py": 10}), "/software/python/3.13")
    python = "/software/python/3.13"
    ingest(owner.tree({"bin/python": 9001, "lib/a.py": 11}), python, "--replace", python)
    owner.files.pop(b"/software/python/3.13/lib/b.py")
    packed = tmp_path / "packed.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        for name in ("doc/a", "doc/b"):
            member = tarfile.TarInfo(name)
            member.size = 5
            archive.addfile(member, io.BytesIO(b"words"))
            owner.files[f"/packed/{name}".encode()] = b"words"
    owner.types("ingest", FQRN, str(packed), "--at", "/packed")
    owner.types("ingest", FQRN, "--delete", "/packed/doc/b")
    owner.files.pop(b"/packed/doc/b")
    owner.types("tag", FQRN, "stable")
    ingest(owner.tree({f"many/{number:03}/file": 3 for number in range(300)}), "/data")
    before_notes = dict(owner.files)
    ingest(owner.tree({"notes": 100}), "/scratch")
    owner.types("rollback", FQRN, "~1", "-m", "without the notes")
    owner.files = before_notes
    owner.types("retire", FQRN, "/software/python/3.13", "--on", "2099-01-01", "--successor", "/software/gcc/14")
    owner.types("retire", FQRN, "/software/python/3.13", "--withdraw", "--reason", "kept after all")
    owner.types("resign", FQRN)
    ingest(owner.tree({"same/x": 7}), "/again")
    owner.types("ingest", FQRN, "--delete", "/kinds", "--reason", "they were for trying out")
    ingest(owner.tree({"file": 1}), "/packed", "--owner", "0:0")
    owner.types("tag", FQRN, "--delete", "stable")
    owner.types("ingest", FQRN, "--delete", "/data/many/007", "--delete", "/data/many/008")
    owner.misses("/data/many/007/")
    owner.misses("/data/many/008/")
    ingest(owner.tree({"last": 4}), "/", "--tag", "last")
    owner.types("gc", FQRN)

    assert json.loads(owner.types("log", FQRN, "--json"))[0]["revision"] >= 18
    owner.types("check", FQRN, "--full")
    store = DirectoryStore(tmp_path / "srv" / FQRN)
    tree = published_tree(store)
    held = {path: content(store, tree, path, one) for path, one in entries(store).items() if one.is_file}
    markers = {path for path in held if path.rpartition(b"/")[2] in (b".cvmfscatalog", b".cvmfsautocatalog")}
    assert {b"/software/gcc/14/.cvmfscatalog", b"/software/python/3.13/.cvmfscatalog"} <= markers
    of_outcrop = {path for path in held if path.startswith(b"/.outcrop/")}
    assert {path: held[path] for path in held.keys() - markers - of_outcrop} == owner.files
    repository = OwnedRepository.open(tmp_path / "data", repository_name(FQRN))
    assert check_repository(store, trusted_by(repository, datetime.now(UTC)), FULL).is_clean
    public_key = (tmp_path / "data" / f"{FQRN}.pub").read_bytes()
    assert section16.check_repository(tmp_path / "srv" / FQRN, [public_key], FQRN, now=datetime.now(UTC)) == []
