from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from outcrop.compat.gentoo.lock import (
    GentooLock,
    InstalledPackage,
    LockedAtom,
    LockedOverlay,
    SourceArchive,
    read_lock,
    render_lock,
    require_same_inputs,
    require_same_results,
    with_results,
    write_lock,
)
from outcrop.compat.gentoo.settings import Snapshot
from outcrop.compat.lock import read_lock as read_debian_lock
from outcrop.errors import FormatError, InvalidValue

LOCK = GentooLock(
    format=1,
    back_end="gentoo-prefix",
    release="gentoo-20260615",
    family="x86_64",
    sets=("base",),
    snapshot=Snapshot("20260615", "0" * 64),
    bootstrap="1" * 64,
    overlays=(LockedOverlay("own", "2" * 40),),
    profile="default/linux",
    settings="3" * 64,
    atoms=(LockedAtom("app-shells/bash"), LockedAtom("dev-build/cmake", ships=False)),
)
BUILT = with_results(
    LOCK, [InstalledPackage("app-shells/bash-5.2", "gentoo", 7)], [SourceArchive("bash-5.2.tar.gz", "4" * 64)]
)


@pytest.mark.parametrize("lock", [LOCK, BUILT])
def test_a_lock_is_read_as_it_was_written(tmp_path: Path, lock: GentooLock) -> None:
    write_lock(lock, tmp_path / "lock.json")
    assert read_lock(tmp_path / "lock.json") == lock


def test_a_lock_has_an_entry_a_line() -> None:
    lines = render_lock(BUILT).decode().splitlines()
    assert '  {"atom":"app-shells/bash","ships":true},' in lines
    assert '  {"name":"app-shells/bash-5.2","repository":"gentoo","size":7}' in lines
    assert '  {"name":"bash-5.2.tar.gz","sha256":"' + "4" * 64 + '"}' in lines


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "format 2; 1 is read here"),
        ({"back_end": "debian"}, "back_end 'debian'; 'gentoo-prefix' is read here"),
        ({"source_archives": [{"name": "../x", "sha256": ""}]}, "source archive ../x leaves its directory"),
        ({"more": 1}, "the lock is not accepted"),
    ],
)
def test_a_lock_that_is_not_one_of_ours_is_refused(tmp_path: Path, change: dict[str, object], said: str) -> None:
    (tmp_path / "lock.json").write_text(json.dumps(json.loads(render_lock(LOCK)) | change))
    with pytest.raises(FormatError) as refused:
        read_lock(tmp_path / "lock.json")
    assert said.replace(" is ", " ") in refused.value.message.replace(" is ", " ")


def test_a_lock_of_one_back_end_is_not_taken_for_the_other_s(tmp_path: Path) -> None:
    write_lock(LOCK, tmp_path / "lock.json")
    with pytest.raises(FormatError, match="back_end names gentoo-prefix, and this is done with layers of Debian's"):
        read_debian_lock(tmp_path / "lock.json")


def test_a_lock_goes_with_the_plan_that_it_came_from() -> None:
    require_same_inputs(LOCK, BUILT)


@pytest.mark.parametrize(
    "field", ["release", "family", "sets", "bootstrap", "overlays", "profile", "settings", "atoms"]
)
def test_a_lock_of_other_inputs_is_refused(field: str) -> None:
    other = msgspec.structs.replace(BUILT, **{field: ()})
    with pytest.raises(InvalidValue, match=f"the lock has other {field} than"):
        require_same_inputs(LOCK, other)


def test_the_same_results_are_demanded_where_a_lock_names_some() -> None:
    require_same_results(LOCK, BUILT)
    require_same_results(BUILT, BUILT)
    with pytest.raises(InvalidValue, match=r"only the lock has app-shells/bash-5\.2 \(1 differences\)"):
        require_same_results(BUILT, LOCK)
