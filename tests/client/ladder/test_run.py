"""`outcrop run` on machines that allow less and less: each time a real program of the repository runs."""

from __future__ import annotations

import json
import shutil
import time

import pytest

from outcrop.client.ladder.call_filter import is_possible
from tests.client.ladder.confined import NOBODY, Report
from tests.client.ladder.site import GREETING, PREFIX, Site

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("ladder")]

SHOW = f"{PREFIX}/bin/show"


def check(report: Report, way: str, user: int = NOBODY) -> None:
    """The program ran, by `way`, as `user`, and nothing is left of it."""
    assert report.code == 0, report.complaint
    assert report.output.splitlines() == [GREETING, f"way {way}", f"user {user}"]
    check_nothing_left(report)


def check_nothing_left(report: Report) -> None:
    assert report.left_running == []
    assert report.left_mounted == []


def test_with_fuse_it_is_mounted_in_a_namespace(site: Site) -> None:
    check(site.on_a_machine(site.run(SHOW, options=["--way", "fuse"])), "fuse")


def test_root_keeps_its_number(site: Site) -> None:
    check(site.on_a_machine(site.run(SHOW, options=["--way", "fuse"]), user=0, home="root"), "fuse", user=0)


def test_with_fuse_forbidden_a_copy_is_bound(site: Site) -> None:
    check(site.on_a_machine(site.run(SHOW), fuse=False), "checkout")


def test_with_namespaces_forbidden_too_a_relocated_copy_runs(site: Site) -> None:
    report = site.on_a_machine(site.run(SHOW, options=["--explain"]), fuse=False, namespaces=False)
    check(report, "relocated")
    assert "not checkout: namespaces: Operation not permitted; a seccomp filter is at work" in report.complaint


@pytest.mark.skipif(shutil.which("proot") is None, reason="proot is not installed")
@pytest.mark.skipif(not is_possible(), reason="no numbers of system calls are known for this machine")
def test_proot_shows_the_copy_at_its_place_without_any_right(site: Site) -> None:
    line = site.run("sh", "-c", f"ls -d {PREFIX}/bin >&2; {SHOW}", options=["--way", "proot"])
    check(site.on_a_machine(line, fuse=False, namespaces=False), "proot")


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
def test_bubblewrap_binds_a_copy(site: Site) -> None:
    check(site.on_a_machine(site.run(SHOW, options=["--way", "container"]), fuse=False), "container")


@pytest.mark.skipif(shutil.which("fusermount3") is None, reason="fusermount3 is not installed")
def test_a_mount_by_fusermount_is_taken_down_when_the_command_ends(site: Site) -> None:
    check(site.on_a_machine(site.run(SHOW, options=["--way", "fusermount"])), "fusermount")


def test_every_way_that_is_forbidden_is_named_with_its_reason(site: Site) -> None:
    report = site.on_a_machine(site.run(SHOW, options=["--way", "fuse"]), fuse=False)
    assert report.code == 9
    assert "there is no /dev/fuse" in report.complaint


def test_what_is_mounted_already_is_used(site: Site) -> None:
    report = site.on_a_machine(site.run(*site.run(SHOW)))
    check(report, "mounted")


def test_another_revision_than_the_mounted_one_gets_a_way_of_its_own(site: Site) -> None:
    inner = site.run("sh", "-c", f"ls {PREFIX}; echo $OUTCROP_RUN_WAY", tag="first")
    report = site.on_a_machine(site.run(*inner))
    assert report.code == 0, report.complaint
    assert report.output.split() == ["bin", "greeting", "overlay"]
    assert "second" in site.on_a_machine(site.run("ls", PREFIX, tag="second")).output.split()


@pytest.mark.parametrize("way", ["fuse", "checkout", "relocated"])
def test_the_command_has_its_own_exit_code_signals_and_input(site: Site, way: str) -> None:
    options = ["--way", way]
    assert site.on_a_machine(site.run("sh", "-c", "exit 7", options=options)).code == 7
    assert site.on_a_machine(site.run("sh", "-c", "kill -TERM $$", options=options)).code == -15
    assert site.on_a_machine(site.run(f"{PREFIX}/bin/none", options=options)).code == 127
    assert site.on_a_machine(site.run(f"{PREFIX}/greeting", options=options)).code == 126
    assert site.on_a_machine(site.run(f"{PREFIX}/bin/cat", options=options), text="from me").output == "from me"


@pytest.mark.fault
@pytest.mark.parametrize("way", ["fuse", "fusermount", "checkout"])
def test_nothing_is_left_after_sigkill(site: Site, way: str) -> None:
    if way == "fusermount" and shutil.which("fusermount3") is None:
        pytest.skip("fusermount3 is not installed")
    line = site.run("sh", "-c", f"cd {PREFIX} && exec sleep 600", options=["--way", way])
    report = site.on_a_machine(line, kill_after=6.0)
    assert report.code == -9
    check_nothing_left(report)


def test_what_the_command_leaves_running_keeps_its_mount_and_no_longer(site: Site) -> None:
    later = f"(sleep 1; cat {PREFIX}/greeting >/mnt/home/later) >/dev/null 2>&1 &"
    report = site.on_a_machine(site.run("sh", "-c", later, options=["--way", "fuse"]))
    check_nothing_left(report)
    assert (site.directory / "home" / "later").read_text().strip() == GREETING


def test_a_batch_job_without_home_and_with_few_files_runs(site: Site) -> None:
    report = site.on_a_machine(site.run(SHOW), open_files=256, home="")
    check(report, "overlay")


@pytest.mark.parametrize(("fuse", "way"), [(True, "overlay"), (False, "checkout")])
def test_a_home_that_cannot_be_written_is_no_hindrance(site: Site, fuse: bool, way: str) -> None:
    report = site.on_a_machine(site.run(SHOW), fuse=fuse, home="", environment={"HOME": "/mnt/data"})
    check(report, way)
    assert list((site.directory / "t").glob("outcrop-cache-*")) == []


def test_a_copy_is_made_once_and_of_the_paths_that_are_named(site: Site) -> None:
    line = site.outcrop(
        "run", "--key", site.key, "--way", "checkout", site.url, "/bin", "--", "sh", "-c", f"ls {PREFIX}"
    )
    assert site.on_a_machine(line, home="careful").output.split() == ["bin"]
    copies = site.directory / "careful" / ".cache" / "outcrop" / "checkouts"
    made = [path for path in copies.glob("*/*-1") if path.is_dir()]
    assert len(made) == 1
    age = made[0].stat().st_ctime_ns
    time.sleep(0.01)
    assert site.on_a_machine(line, home="careful").output.split() == ["bin"]
    assert [path for path in copies.glob("*/*-?") if path.is_dir()] == made
    assert made[0].stat().st_ctime_ns == age


def test_a_repository_that_is_not_proved_is_shown_by_no_way(site: Site) -> None:
    (site.directory / "wrong.pub").write_bytes((site.directory / "tools.example.org.pub").read_bytes()[:-60])
    line = site.outcrop("run", "--key", "/mnt/wrong.pub", site.url, "--", SHOW)
    report = site.on_a_machine(line)
    assert report.code not in (0, 9)
    assert GREETING not in report.output
    check_nothing_left(report)


def test_doctor_says_what_run_then_does(site: Site) -> None:
    for fuse, namespaces, best in ((True, True, "overlay"), (False, True, "checkout"), (False, False, "relocated")):
        report = site.on_a_machine(
            site.outcrop("doctor", "--json", "--key", site.key, site.url), fuse=fuse, namespaces=namespaces
        )
        assert report.code == 0, report.complaint
        answer = json.loads(report.output)
        assert answer["best"] == best
        states = {each["topic"]: each["state"] for each in answer["findings"]}
        assert states["servers"] == states["clock"] == states["dns"] == "ok"
        check_nothing_left(report)


def test_doctor_tells_when_no_server_has_the_repository(site: Site) -> None:
    url = site.url.replace("tools.example.org", "none.example.org")
    report = site.on_a_machine(site.outcrop("doctor", "--key", site.key, url))
    assert report.code == 6
    assert "none.example.org is out of reach" in report.complaint
