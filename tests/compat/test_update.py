"""A new lock changes what must change, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from outcrop.compat.debian.archive import ReleaseMetadata, SuiteFacts
from outcrop.compat.debian.packages import PackageIndex
from outcrop.compat.debian.resolve import resolve
from outcrop.compat.lock import Lock, LockedWheel, lock_of
from outcrop.compat.update import Change, update_lock
from outcrop.errors import InvalidValue

DIGEST = "0" * 64
OLD = {
    "app": {"Depends": "liba (>= 1.0), libb | debconf-2.0"},
    "liba": {"Source": "a"},
    "liba-bin": {"Source": "a", "Depends": "liba (= 1.0)"},
    "libb": {"Depends": "libc6"},
    "libc6": {"Source": "glibc"},
}


def metadata(packages: dict[str, dict[str, str]], day: int = 1) -> ReleaseMetadata:
    index = PackageIndex()
    index.add(
        "\n\n".join(
            "\n".join(
                f"{name}: {value}"
                for name, value in {
                    "Package": package,
                    "Version": "1.0",
                    "Architecture": "amd64",
                    "Filename": f"pool/{package}.deb",
                    "SHA256": DIGEST,
                    "Size": "1",
                    **fields,
                }.items()
            )
            for package, fields in packages.items()
        ),
        "mirror",
    )
    facts = SuiteFacts("bookworm", "12", datetime(2026, 1, day, tzinfo=UTC), DIGEST, DIGEST)
    return ReleaseMetadata("bookworm", index, (facts,))


def lock() -> Lock:
    old = metadata(OLD)
    resolution = resolve(old.index, ["app", "liba-bin"])
    return lock_of(old, resolution, "x86_64", ["base"], ["app", "liba", "liba-bin", "libb"])


def newer(**changed: dict[str, str]) -> ReleaseMetadata:
    return metadata({name: {**OLD.get(name, {}), **changed.get(name, {})} for name in {**OLD, **changed}}, day=2)


def versions(new: Lock) -> dict[str, str]:
    return {package.name: package.version for package in new.packages}


def test_all_packages_of_a_source_change_and_no_others() -> None:
    update = update_lock(
        lock(),
        newer(
            liba={"Version": "1.1"},
            **{"liba-bin": {"Version": "1.1", "Depends": "liba (= 1.1)"}, "app": {"Version": "9"}},
        ),
        {"a"},
    )
    assert versions(update.lock) == {"app": "1.0", "liba": "1.1", "liba-bin": "1.1", "libb": "1.0", "libc6": "1.0"}
    assert [(one.name, one.before, one.after) for one in update.changes] == [
        ("liba", "1.0", "1.1"),
        ("liba-bin", "1.0", "1.1"),
    ]
    assert update.lock.suites[0].date == "2026-01-02T00:00:00Z"


def test_what_is_up_to_date_stays_and_so_does_the_lock() -> None:
    update = update_lock(lock(), newer(app={"Version": "2"}), {"a"})
    assert (update.lock, update.changes) == (lock(), ())


def test_an_older_version_in_the_release_is_no_update() -> None:
    assert update_lock(lock(), newer(liba={"Version": "0.9"}), {"a"}).changes == ()


def test_what_the_new_one_needs_comes_along() -> None:
    new = newer(
        liba={"Version": "1.1", "Depends": "libb (>= 2), libnew"}, libb={"Version": "2.5"}, libnew={"Version": "7"}
    )
    broken = newer(liba={"Version": "1.1", "Depends": "libb (>= 3)"})
    update = update_lock(lock(), _with_bin(new), {"a"})
    assert Change("libb", "libb", "1.0", "2.5", "liba needs it") in update.changes
    assert Change("libnew", "libnew", "", "7", "liba needs it") in update.changes
    assert next(one for one in update.lock.packages if one.name == "libnew").ships
    with pytest.raises(InvalidValue, match=r"the package liba needs libb \(>= 3\)"):
        update_lock(lock(), _with_bin(broken), {"a"})


def _with_bin(new: ReleaseMetadata) -> ReleaseMetadata:
    """The release whose `liba-bin` goes with the new `liba`."""
    new.index.add(
        "Package: liba-bin\nVersion: 1.1\nSource: a\nDepends: liba (= 1.1)\nArchitecture: amd64\n"
        f"Filename: pool/x.deb\nSHA256: {DIGEST}\nSize: 1",
        "mirror",
    )
    return new


def test_what_does_not_work_with_the_new_one_comes_along() -> None:
    strict = metadata({**OLD, "app": {"Depends": "liba (<< 1.1)"}})
    old = lock_of(strict, resolve(strict.index, ["app"]), "x86_64", [], ["app", "liba"])
    update = update_lock(old, newer(liba={"Version": "1.1"}, app={"Version": "2.0", "Depends": "liba"}), {"a"})
    assert Change("app", "app", "1.0", "2.0", "it does not work with the new liba") in update.changes
    with pytest.raises(InvalidValue, match=r"app needs liba \(<< 1\.1\), which the update takes away"):
        update_lock(old, newer(liba={"Version": "1.1"}), {"a"})


def test_a_package_that_is_gone_from_the_release_is_told() -> None:
    new = newer()
    del new.index.paragraphs["liba-bin"]
    with pytest.raises(InvalidValue, match="liba-bin is not in bookworm any more"):
        update_lock(lock(), new, {"a"})


def test_the_c_library_changes_only_where_that_is_allowed() -> None:
    new = newer(libc6={"Version": "1.1"})
    with pytest.raises(InvalidValue, match="changes the C library"):
        update_lock(lock(), new, {"glibc"})
    assert versions(update_lock(lock(), new, {"glibc"}, allow_libc=True).lock)["libc6"] == "1.1"


def test_what_was_left_out_still_counts_as_there() -> None:
    old = metadata({**OLD, "app": {"Depends": "debconf-2.0"}, "debconf": {"Provides": "debconf-2.0"}})
    without = lock_of(old, resolve(old.index, ["app"], ["debconf"]), "x86_64", [], ["app"])
    new = newer(app={"Version": "2", "Depends": "debconf-2.0"}, debconf={"Provides": "debconf-2.0"})
    assert versions(update_lock(without, new, {"app"}).lock) == {"app": "2"}


def test_wheels_stay_as_they_are() -> None:
    wheel = LockedWheel("thing", "1.0", "thing-1.0-py3-none-any.whl", DIGEST, 1)
    old = msgspec.structs.replace(lock(), wheels=(wheel,))
    assert update_lock(old, newer(liba={"Version": "1.1"}), {"liba"}).lock.wheels == (wheel,)


def test_what_the_new_one_cannot_stand_comes_along() -> None:
    breaking = {"Version": "1.1", "Breaks": "libb (<< 2), other"}
    update = update_lock(lock(), _with_bin(newer(liba=breaking, libb={"Version": "2.5"})), {"a"})
    assert Change("libb", "libb", "1.0", "2.5", "liba cannot stand the old one") in update.changes
    with pytest.raises(InvalidValue, match="the packages liba and libb cannot be in one layer after the update"):
        update_lock(lock(), _with_bin(newer(liba=breaking)), {"a"})


def test_two_new_ones_may_refuse_the_same_old_one() -> None:
    new = newer(
        liba={"Version": "1.1", "Breaks": "libb (<< 2)", "Conflicts": "libb (<< 1.5)"},
        libb={"Version": "2.5"},
        **{"liba-bin": {"Version": "1.1", "Source": "a", "Depends": "liba (= 1.1)", "Breaks": "libb (<< 2)"}},
    )
    assert versions(update_lock(lock(), new, {"a"}).lock)["libb"] == "2.5"


def test_packages_that_could_not_stand_each_other_before_may_stay_together() -> None:
    feuding = metadata({**OLD, "liba": {"Source": "a", "Conflicts": "libb"}})
    together = [["liba", "libb", "other"]]
    resolution = resolve(feuding.index, ["app", "liba-bin"], together=together)
    old = lock_of(feuding, resolution, "x86_64", [], ["app"], together=together)
    new = _with_bin(newer(liba={"Source": "a", "Version": "1.1", "Conflicts": "libb"}))
    assert versions(update_lock(old, new, {"a"}).lock)["liba"] == "1.1"


def test_a_need_may_be_met_by_what_another_package_provides() -> None:
    new = _with_bin(newer(liba={"Version": "1.1", "Depends": "virtual"}, real={"Provides": "virtual", "Version": "3"}))
    changed = {one.name: one for one in update_lock(lock(), new, {"a"}).lock.packages}
    assert (changed["real"].version, changed["real"].needed_by) == ("3", "liba")


def test_an_exclusion_that_nothing_asked_for_before_holds_for_a_new_need() -> None:
    old = metadata(OLD)
    without = lock_of(old, resolve(old.index, ["app", "liba-bin"]), "x86_64", [], ["app"], excluded=["systemd"])
    new = _with_bin(newer(liba={"Version": "1.1", "Depends": "systemd"}, systemd={"Version": "252"}))
    assert "systemd" not in versions(update_lock(without, new, {"a"}).lock)


def test_what_only_building_needed_ships_when_a_program_needs_it() -> None:
    both = metadata({**OLD, "tool": {"Depends": "helper"}, "helper": {}})
    old = lock_of(both, resolve(both.index, ["app", "liba-bin", "tool"]), "x86_64", [], ["app", "liba", "liba-bin"])
    new = _with_bin(newer(liba={"Version": "1.1", "Depends": "tool"}, tool={"Depends": "helper"}, helper={}))
    ships = {one.name: one.ships for one in update_lock(old, new, {"a"}).lock.packages}
    assert (ships["tool"], ships["helper"]) == (True, True)


def test_an_update_brings_no_second_python() -> None:
    one = metadata({"app": {"Depends": "python3.11"}, "python3.11": {}})
    old = lock_of(one, resolve(one.index, ["app"]), "x86_64", [], ["app", "python3.11"])
    new = metadata({"app": {"Version": "2", "Depends": "python3.13"}, "python3.11": {}, "python3.13": {}})
    with pytest.raises(InvalidValue, match=r"bring Python 3\.11 and 3\.13 into one layer"):
        update_lock(old, new, {"app"})
