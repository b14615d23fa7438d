from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from outcrop.compat.family import family_named
from outcrop.compat.gentoo.snapshot_facts import AtomFacts, snapshot_facts
from outcrop.errors import IntegrityError, StorageError

X86, ARM, RISCV = map(family_named, ("x86_64", "aarch64", "riscv64"))


def metadata(keywords: str, licence: str = "GPL-2", sources: str = "") -> str:
    return f"DESCRIPTION=a shell\nKEYWORDS={keywords}\nLICENSE={licence}\nSRC_URI={sources}\n_md5_=0\n"


FILES = {
    "metadata/md5-cache/app-shells/bash-5.1": metadata("amd64 arm64"),
    "metadata/md5-cache/app-shells/bash-5.2_p37": metadata(
        "amd64 ~riscv",
        "|| ( GPL-3+ MIT ) nls? ( LGPL-2 )",
        "mirror://gnu/bash-5.2.tar.gz https://example.org/a/1.patch -> bash-1.patch nls? ( https://example.org/l.xz )",
    ),
    "metadata/md5-cache/app-shells/bash-5.3": metadata("~amd64"),
    "metadata/md5-cache/app-shells/bash-9999": metadata("amd64"),
    "metadata/md5-cache/app-shells/bash-completion-2.11": metadata("amd64"),
    "app-shells/bash/Manifest": "DIST bash-5.2.tar.gz 1000 X 0\nDIST bash-1.patch 20 X 0\nDIST l.xz 3 X 0\nDIST\n",
    "app-shells/zsh/Manifest": "DIST bash-5.2.tar.gz 5 BLAKE2B 0\n",
}


def snapshot(place: Path, files: Mapping[str, str] = FILES) -> Path:
    with tarfile.open(place / "portage.tar.xz", "w:xz", preset=0) as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"portage-20260615/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return place / "portage.tar.xz"


def test_the_newest_stable_version_is_told_with_its_licences_and_sources(tmp_path: Path) -> None:
    facts = snapshot_facts(snapshot(tmp_path), ["app-shells/bash", "app-shells/none"])
    assert facts.of("app-shells/bash", X86) == AtomFacts("5.2_p37", ("GPL-3+", "LGPL-2", "MIT"), 1023)
    assert facts.of("app-shells/bash", ARM) == AtomFacts("5.1", ("GPL-2",), 0)
    assert facts.of("app-shells/none", X86) is None


def test_a_family_for_which_nothing_is_stable_has_what_is_being_tested(tmp_path: Path) -> None:
    facts = snapshot_facts(snapshot(tmp_path), ["app-shells/bash", "app-shells/bash-completion"])
    found = facts.of("app-shells/bash", RISCV)
    assert found is not None
    assert found.version == "5.2_p37"
    assert facts.of("app-shells/bash-completion", RISCV) is None


@pytest.mark.parametrize(
    ("atom", "version"),
    [
        ("<app-shells/bash-5.2", "5.1"),
        (">=app-shells/bash-5.2", "5.2_p37"),
        ("=app-shells/bash-5.1*", "5.1"),
        ("~app-shells/bash-5.1", "5.1"),
        ("app-shells/bash:0::gentoo", "5.2_p37"),
        (">app-shells/bash-6", None),
    ],
)
def test_the_operator_of_an_atom_counts(tmp_path: Path, atom: str, version: str | None) -> None:
    found = snapshot_facts(snapshot(tmp_path), [atom]).of(atom, X86)
    assert (found.version if found else None) == version


def test_a_damaged_snapshot_is_told(tmp_path: Path) -> None:
    whole = snapshot(tmp_path).read_bytes()
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(IntegrityError, match="cut"):
        snapshot_facts(tmp_path / "cut", ["app-shells/bash"])
    with pytest.raises(StorageError):
        snapshot_facts(tmp_path / "none", ["app-shells/bash"])
