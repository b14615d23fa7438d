"""Layers that stand-ins for Gentoo Prefix's script and Portage build, from the command line to the record."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from outcrop.compat.build import BuildPlace, BuiltLayer
from outcrop.compat.debian.package_mirror import PackageMirror
from outcrop.compat.family import FAMILIES, this_family
from outcrop.compat.gentoo.build import build_prefix
from outcrop.compat.gentoo.installed import OF_THE_BUILD
from outcrop.compat.gentoo.lock import read_lock
from outcrop.compat.gentoo.plan import plan_prefix
from outcrop.compat.layout import LayerLayout
from outcrop.compat.package_sets import read_description
from outcrop.compat.record import LayerOrigin, differences, digests, earlier_layer, recorded_origin
from outcrop.cvmfs.names import repository_name
from outcrop.errors import Busy, Interrupted
from outcrop.software.sources.download import Downloads
from tests.compat.gentoo.stand_ins import OVERLAY_EBUILDS, MadeGentoo

pytestmark = pytest.mark.integration

FAMILY = this_family()
STAGES = (
    "configuration", "snapshot", "archives", "stage1", "stage2", "stage3", "startscript", "overlays", "settings",
    "locales", "packages", "loader", "depclean", "inventory", "layer",
)  # fmt: skip
PATIENCE = 60


def command(made: MadeGentoo, *words: str) -> list[str]:
    places = ["--mirror", str(made.packages), "--tree", str(made.trees)]
    return [sys.executable, "-m", "outcrop", "compat", "build", *places, *words]


def environment(**further: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("OUTCROP_")} | further


def build(made: MadeGentoo, *words: str, code: int = 0, **further: str) -> str:
    """What `outcrop compat build` says."""
    ended = subprocess.run(
        command(made, *words), cwd=made.stack, env=environment(**further), capture_output=True, text=True, check=False
    )
    assert ended.returncode == code, ended.stderr
    return ended.stdout if code == 0 else ended.stderr


def hanging(made: MadeGentoo, point: str) -> subprocess.Popen[str]:
    """A build that has come to `point`, where it does not go on."""
    made.order("hang", point)
    process = subprocess.Popen(
        command(made), cwd=made.stack, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + PATIENCE
    while not (made.work / "tree/.hanging").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    made.order("hang", "")
    return process


def ended(made: MadeGentoo, process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    """The exit code and the last words of a build that was sent a signal."""
    process.send_signal(number)
    _, said = process.communicate(timeout=PATIENCE)
    (made.work / "tree/.hanging").unlink()
    return process.returncode, said


def built_here(made: MadeGentoo, clock: Callable[[], datetime] | None = None) -> BuiltLayer:
    """A build in this process."""
    description = read_description(made.stack / "compat")
    place = BuildPlace(LayerLayout(repository_name("software.example.org"), "2026.06", FAMILY), made.trees)
    mirror = PackageMirror(made.packages, Downloads(made.packages / ".partial"))
    lock = plan_prefix(description, FAMILY, ()).lock
    return build_prefix(place, lock, description, mirror, clock=clock or (lambda: datetime.now(UTC)))


@dataclass
class Interrupting:
    """A clock that is asked after each stage, and interrupts the build the `last`th time."""

    last: int
    asked: int = 0

    def __call__(self) -> datetime:
        self.asked += 1
        if self.asked == self.last:
            raise KeyboardInterrupt
        return datetime.now(UTC)


# ---- The whole way ----


def test_a_layer_is_built_and_recorded(gentoo: MadeGentoo) -> None:
    answer = json.loads(build(gentoo, "--json"))
    assert answer["tree"] == str(gentoo.layer)
    assert answer["prefix"] == f"/cvmfs/software.example.org/versions/2026.06/compat/linux/{FAMILY.name}"
    assert gentoo.calls() == [
        "stage1",
        "stage2",
        "stage3",
        "emerge --oneshot sys-libs/glibc app-shells/bash",
        "fetched glibc-2.40-r5.tar.xz",
        "merged sys-libs/glibc-2.40-r5::gentoo",
        "fetched bash-5.2_p37.tar.xz",
        "merged app-shells/bash-5.2_p37::gentoo",
        "startscript",
        "emerge --update app-portage/prefix-toolkit",
        "fetched prefix-toolkit-12.tar.xz",
        "merged app-portage/prefix-toolkit-12::gentoo",
        "locale-gen",
        "emerge --oneshot --noreplace sys-devel/gettext",
        "fetched gettext-0.22.tar.xz",
        "merged sys-devel/gettext-0.22::gentoo",
        "emerge --update --deep --changed-use --with-bdeps=y @world",
        "fetched cmake-3.31.tar.xz",
        "merged dev-build/cmake-3.31::gentoo",
        "fetched munge-0.5.18.tar.xz",
        "merged sys-auth/munge-0.5.18::own",
        "emerge --oneshot sys-libs/glibc",
        "found glibc-2.40-r5.tar.xz",
        "merged sys-libs/glibc-2.40-r5::gentoo",
        "emerge --depclean --with-bdeps=n",
        "removed dev-build/cmake",
        "removed sys-devel/gettext",
    ]
    record = Path(answer["record"])
    names = {"layer.json", "lock.json", "sets.json", "tools.json", "files.sha256", "build.log", "changelog.txt"}
    assert names <= set(os.listdir(record))
    assert earlier_layer(gentoo.layer).contents.versions["app-shells/bash"] == "5.2_p37"
    assert (record / "installed.txt").read_text().splitlines() == [
        "app-portage/prefix-toolkit-12::gentoo",
        "app-shells/bash-5.2_p37::gentoo",
        "sys-auth/munge-0.5.18::own",
        "sys-libs/glibc-2.40-r5::gentoo",
    ]
    assert (record / "bootstrap-prefix.sh").read_text().startswith("#!")
    assert [line.split()[1] for line in (record / "build.log").read_text().splitlines()][: len(STAGES)] == list(STAGES)
    assert "munge-0.5.18.tar.xz" in {one.name for one in read_lock(record / "lock.json").source_archives}
    assert recorded_origin(gentoo.layer) == LayerOrigin("gentoo-20260615", ("only", "small"), "gentoo-prefix")
    assert not gentoo.work.exists()


def test_a_layer_has_links_to_the_host_and_nothing_of_the_build(gentoo: MadeGentoo) -> None:
    build(gentoo)
    layer, defaults = gentoo.layer, "/cvmfs/software.example.org/defaults"
    assert os.readlink(layer / "etc/passwd") == f"$(EESSI_202606_COMPAT_ETC_PASSWD:-{defaults}/compat/etc/passwd)"
    assert os.readlink(layer / "tmp") == f"$(EESSI_202606_COMPAT_TMP:-{defaults}/compat/tmp)"
    assert os.readlink(layer / "bin") == "usr/bin"
    assert os.readlink(layer / "lib/override") == f"$(EESSI_202606_LIB_OVERRIDE:-{defaults}/override)"
    shared = gentoo.trees / "defaults"
    assert os.readlink(shared / "compat/etc/passwd") == "$(EESSI_COMPAT_ETC_PASSWD:-/etc/passwd)"
    assert str(layer.name) in (layer / "startprefix").read_text()
    assert os.listdir(layer / "var/tmp") == []
    for gone in ("var/db/repos", "var/cache/distfiles", "etc/portage/make.profile", ".stage1-finished", "stage1.log"):
        assert not os.path.lexists(layer / gone)
    for directory, _, files in os.walk(layer):
        for path in (Path(directory), *(Path(directory, name) for name in files)):
            assert path.is_symlink() or path.stat().st_mode & 0o7022 == 0, path
            if path.parent.parent != layer / "reprod" and path.is_file():
                assert str(gentoo.directory) not in path.read_text(), path


def test_nothing_of_the_caller_s_environment_reaches_the_build(gentoo: MadeGentoo) -> None:
    build(gentoo, LD_LIBRARY_PATH="/nowhere", PKG_CONFIG_PATH="/nowhere", CFLAGS="-march=native", TMPDIR="/var/tmp")


def test_a_lock_gives_the_same_layer_without_a_network(gentoo: MadeGentoo, tmp_path: Path) -> None:
    first = json.loads(build(gentoo, "--json"))
    lock = tmp_path / "lock.json"
    lock.write_bytes((Path(first["record"]) / "lock.json").read_bytes())
    before = digests(gentoo.layer)
    build(gentoo, "--lock", str(lock), "--replace")
    assert not [call for call in gentoo.calls() if call.startswith("fetched")]
    networks = {line for line in (gentoo.layer / "calls").read_text().splitlines() if line.startswith("networks")}
    assert networks == {"networks lo"}
    changed = {one.path for one in differences(before, digests(gentoo.layer))}
    assert {path for path in changed if not OF_THE_BUILD.fullmatch(path)} == {"calls"}


def test_a_lock_of_other_settings_is_refused(gentoo: MadeGentoo, tmp_path: Path) -> None:
    lock = Path(json.loads(build(gentoo, "--json"))["record"]) / "lock.json"
    gentoo.change("-gcrypt", "gcrypt")
    said = build(gentoo, "--lock", str(lock), "--replace", code=1)
    assert "the lock has other settings than the sets and settings of this stack" in said


def test_results_other_than_the_lock_s_are_told_and_not_put_in_place(gentoo: MadeGentoo, tmp_path: Path) -> None:
    record = Path(json.loads(build(gentoo, "--json"))["record"])
    lock = tmp_path / "lock.json"
    lock.write_text((record / "lock.json").read_text().replace('bash-5.2_p37"', 'bash-5.1"'))
    said = build(gentoo, "--lock", str(lock), "--replace", code=1)
    assert "what was built is not what the lock names: only the lock has app-shells/bash-5.1 (2 differences)" in said
    assert record.exists()


def test_a_layer_that_is_there_is_not_overwritten_unasked(gentoo: MadeGentoo) -> None:
    gentoo.layer.mkdir(parents=True)
    assert "already exists" in build(gentoo, code=1)
    build(gentoo, "--replace")
    assert (gentoo.layer / "startprefix").exists()


# ---- What is stopped goes on ----


def test_a_build_that_is_stopped_at_the_end_of_each_stage_goes_on_there(gentoo: MadeGentoo) -> None:
    for number in range(len(STAGES)):
        with pytest.raises(Interrupted) as stopped:
            built_here(gentoo, Interrupting(1 if number == 0 else 2))
        assert "goes on from there" in stopped.value.hint
        marks = json.loads((gentoo.work / "state.json").read_text())["marks"]
        assert [mark["stage"] for mark in marks] == list(STAGES[: number + 1])
        assert [bool(mark["finished"]) for mark in marks] == [True] * number + [False]
        assert not gentoo.layer.exists()
    built_here(gentoo)
    calls = gentoo.calls()
    assert [call for call in calls if call.startswith("stage")] == ["stage1", "stage2", "stage3"]
    merged = [call for call in calls if call.startswith("merged")]
    assert [call for call in merged if merged.count(call) > 1] == ["merged sys-libs/glibc-2.40-r5::gentoo"] * 2


def test_a_build_that_is_killed_in_each_stage_goes_on_there(gentoo: MadeGentoo) -> None:
    points = ("stage1", "stage2", "sys-libs/glibc", "startscript", "locale-gen", "sys-auth/munge", "depclean")
    for point in points:
        assert ended(gentoo, hanging(gentoo, point), signal.SIGKILL)[0] == -signal.SIGKILL
        assert not gentoo.layer.exists()
    build(gentoo)
    calls = gentoo.calls()
    # What was killed was begun once more, and nothing before it.
    assert [call for call in calls if call.startswith(("stage", "startscript"))] == [
        "stage1", "stage1", "stage2", "stage2", "stage3", "stage3", "startscript", "startscript",
    ]  # fmt: skip
    assert calls.count("merged app-shells/bash-5.2_p37::gentoo") == 1
    assert calls.count("merged dev-build/cmake-3.31::gentoo") == 1
    assert not list(gentoo.layer.glob("var/db/pkg/*/-MERGING-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_says_how_it_goes_on_and_leaves_nothing_running(
    gentoo: MadeGentoo, number: signal.Signals
) -> None:
    code, said = ended(gentoo, hanging(gentoo, "stage2"), number)
    assert code == 130
    assert "finished stages are kept; the same command goes on from there" in said
    build(gentoo)
    assert gentoo.calls().count("stage1") == 1


def test_two_builds_of_a_layer_do_not_meet(gentoo: MadeGentoo) -> None:
    process = hanging(gentoo, "stage1")
    with pytest.raises(Busy, match="another build of this layer"):
        built_here(gentoo)
    assert "is in use by another build of this layer" in build(gentoo, code=8)
    ended(gentoo, process, signal.SIGKILL)
    build(gentoo)


# ---- What was changed meanwhile ----


def stopped_before_depclean(made: MadeGentoo) -> None:
    ended(made, hanging(made, "depclean"), signal.SIGKILL)


def calls_after(made: MadeGentoo) -> list[str]:
    """What a build that goes on does, beyond what was done."""
    before = len(made.calls())
    build(made)
    return made.calls()[before:]


def test_a_new_package_begins_again_at_the_settings(gentoo: MadeGentoo) -> None:
    stopped_before_depclean(gentoo)
    path = gentoo.stack / "compat/small.toml"
    more = '\n[[package]]\nname = "coreutils"\nreason = "tools"\ngentoo = "sys-apps/coreutils"\n'
    path.write_text(path.read_text() + more)
    assert [call for call in calls_after(gentoo) if call.startswith(("stage", "merged", "removed"))] == [
        "merged sys-apps/coreutils-9.5::gentoo",
        "removed dev-build/cmake",
        "removed sys-devel/gettext",
    ]


def test_a_changed_flag_builds_what_it_is_for(gentoo: MadeGentoo) -> None:
    stopped_before_depclean(gentoo)
    gentoo.change("-gcrypt", "gcrypt")
    assert [call for call in calls_after(gentoo) if call.startswith(("stage", "merged"))] == [
        "merged sys-auth/munge-0.5.18::own"
    ]


def test_a_flag_that_is_taken_back_leaves_no_file(gentoo: MadeGentoo) -> None:
    stopped_before_depclean(gentoo)
    gentoo.change('use = ["-gcrypt"]\n', "")
    calls_after(gentoo)
    assert not (gentoo.layer / "etc/portage/package.use/outcrop").exists()


def test_another_commit_of_an_overlay_begins_again_there(gentoo: MadeGentoo) -> None:
    stopped_before_depclean(gentoo)
    old = read_description(gentoo.stack / "compat").gentoo.overlay[0].commit
    gentoo.change(old, gentoo.publish_overlay(OVERLAY_EBUILDS | {"sys-auth/munge-0.5.19": ""}))
    calls = calls_after(gentoo)
    assert [call for call in calls if call.startswith(("stage", "merged"))] == ["merged sys-auth/munge-0.5.19::own"]
    assert "locale-gen" in calls


@pytest.mark.parametrize(
    "change", [('use = ["-X"]', 'use = ["X"]'), ("[gentoo]\n", '[gentoo]\nvariables.CFLAGS = "-O3"\n')]
)
def test_what_decides_how_all_is_built_begins_from_nothing(gentoo: MadeGentoo, change: tuple[str, str]) -> None:
    stopped_before_depclean(gentoo)
    gentoo.change(*change)
    build(gentoo)
    assert [call for call in gentoo.calls() if call.startswith("stage")] == ["stage1", "stage2", "stage3"]


def test_host_links_that_change_after_the_layer_was_finished_are_made_anew(gentoo: MadeGentoo) -> None:
    with pytest.raises(Interrupted):
        built_here(gentoo, Interrupting(len(STAGES) + 1))
    gentoo.change('path = "tmp"\nhost = "/tmp"', 'path = "run/munge"\nhost = "/run/munge"')
    assert calls_after(gentoo) == []
    assert os.readlink(gentoo.layer / "run/munge").startswith("$(")
    assert not (gentoo.layer / "tmp").is_symlink()


def test_a_set_that_changes_after_ebuilds_are_gone_begins_from_nothing(gentoo: MadeGentoo) -> None:
    with pytest.raises(Interrupted):
        built_here(gentoo, Interrupting(len(STAGES) + 1))
    gentoo.change("-gcrypt", "gcrypt")
    build(gentoo)
    assert gentoo.calls()[0] == "stage1"
    assert gentoo.calls().count("merged sys-auth/munge-0.5.18::own") == 1


def test_a_build_that_is_killed_before_it_cleared_up_spoils_nothing(gentoo: MadeGentoo) -> None:
    with pytest.raises(Interrupted):
        built_here(gentoo, Interrupting(len(STAGES) + 1))
    (gentoo.work / "tree").rename(gentoo.layer)
    assert "already exists" in build(gentoo, code=1)
    build(gentoo, "--replace")
    assert (gentoo.layer / "startprefix").exists()
    assert not gentoo.work.exists()


def test_a_build_that_is_killed_after_its_record_has_one_record(gentoo: MadeGentoo) -> None:
    with pytest.raises(Interrupted):
        built_here(gentoo, Interrupting(len(STAGES) + 1))
    (gentoo.work / "tree/reprod/20260101_000000UTC").mkdir(parents=True)
    build(gentoo)
    assert len(os.listdir(gentoo.layer / "reprod")) == 1


# ---- What goes wrong ----


def test_a_package_that_fails_is_named_with_its_logs(gentoo: MadeGentoo) -> None:
    gentoo.order("fail", "sys-auth/munge")
    said = build(gentoo, code=10)
    assert "error: emerge failed: sys-auth/munge-0.5.18 failed to compile" in said
    log = gentoo.work / "tree/var/tmp/portage/sys-auth/munge-0.5.18/temp/build.log"
    assert f"the whole log is {gentoo.work / 'logs/packages.log'} and {log}" in " ".join(said.split())
    assert log.exists()
    gentoo.order("fail", "")
    assert [call for call in calls_after(gentoo) if call.startswith(("stage", "merged"))] == [
        "merged sys-auth/munge-0.5.18::own",
        "merged sys-libs/glibc-2.40-r5::gentoo",
    ]


@pytest.mark.parametrize("point", ["stage1", "stage2", "stage3", "startscript"])
def test_a_script_that_fails_is_told_with_its_last_words(gentoo: MadeGentoo, point: str) -> None:
    gentoo.order("fail", point)
    said = build(gentoo, code=10)
    assert f"error: the bootstrap ({point}) failed: * the host's compiler is of no use" in said
    assert str(gentoo.work / f"logs/{point}.log") in said


def test_a_package_that_nobody_has_is_named(gentoo: MadeGentoo) -> None:
    path = gentoo.stack / "compat/small.toml"
    path.write_text(path.read_text().replace("app-shells/bash", "app-shells/fish"))
    assert 'emerge failed: there are no ebuilds to satisfy "app-shells/fish"' in build(gentoo, code=10)


def test_a_snapshot_with_another_digest_is_not_used(gentoo: MadeGentoo) -> None:
    with next((gentoo.directory / "mirror/snapshots").iterdir()).open("ab") as file:
        file.write(b"x")
    assert "error: the snapshot of 20260615 is damaged" in build(gentoo, code=5)
    assert not list((gentoo.work / "tree").glob("var/db/repos/gentoo/*"))


def test_a_script_with_another_digest_is_not_run(gentoo: MadeGentoo) -> None:
    with (gentoo.directory / "mirror/bootstrap-prefix.sh").open("a") as file:
        file.write("touch $EPREFIX/calls\n")
    assert "error: the bootstrap script is damaged" in build(gentoo, code=5)
    assert not (gentoo.work / "tree/calls").exists()


def test_a_mirror_that_is_not_there_is_one_sentence_and_a_hint(gentoo: MadeGentoo) -> None:
    gentoo.change(f'file://{gentoo.directory}/mirror"]', 'http://127.0.0.1:9"]')
    said = build(gentoo, code=6)
    assert said.startswith("error: the snapshot of 20260615 (http://127.0.0.1:9/snapshots/portage-20260615.tar.xz)")
    assert "hint: name a mirror that this machine reaches" in said


def test_a_commit_that_the_overlay_does_not_have_is_told(gentoo: MadeGentoo) -> None:
    gentoo.change(read_description(gentoo.stack / "compat").gentoo.overlay[0].commit, "0" * 40)
    assert "`git archive` failed" in build(gentoo, code=10)


def test_a_profile_that_the_snapshot_does_not_have_is_told(gentoo: MadeGentoo) -> None:
    gentoo.change(f'{FAMILY.name} = "default/linux/here/prefix"', f'{FAMILY.name} = "default/linux/there"')
    assert "it has no profile default/linux/there" in build(gentoo, code=10)


def test_another_machine_s_family_is_refused(gentoo: MadeGentoo) -> None:
    other = next(family for family in FAMILIES if family is not FAMILY and family.name in ("x86_64", "aarch64"))
    assert "Gentoo Prefix runs what it builds" in build(gentoo, "--family", other.name, code=1)


def test_a_layer_without_one_of_its_packages_is_not_put_in_place(gentoo: MadeGentoo) -> None:
    process = hanging(gentoo, "depclean")
    for place in (gentoo.work / "tree/var/db/pkg/sys-auth").glob("munge-*"):
        place.rename(gentoo.directory / "aside")
    with (gentoo.work / "tree/etc/portage/sets/outcrop").open("w") as file:
        file.write("app-shells/bash\n")
    ended(gentoo, process, signal.SIGKILL)
    assert "building the sets failed: sys-auth/munge is not installed" in build(gentoo, code=10)
    assert not gentoo.layer.exists()
