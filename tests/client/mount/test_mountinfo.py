"""The kernel's list of mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from outcrop.client.mount.mountinfo import MountLine, mount_at, mounts, our_mounts, parse_mountinfo
from outcrop.client.mount.unmounting import MountsToEnd, mounts_to_end, users_of, wanted_mounts
from outcrop.errors import FormatError, NotFound

TEXT = r"""22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
41 22 0:40 / /cvmfs/a.example.org ro,nosuid shared:1 master:2 - fuse.outcrop a.example.org ro,user_id=0
42 22 0:41 / /tmp/with\040blank\134and\011tab ro - fuse.outcrop b.example.org ro
43 22 0:42 / /over ro - fuse.outcrop a.example.org ro
44 43 0:43 / /over rw - tmpfs none rw
"""
LINES = parse_mountinfo(TEXT)


def test_mounts_are_listed_with_their_paths_as_they_are() -> None:
    assert LINES[0] == MountLine("/", "ext4", "/dev/vda")
    assert LINES[2] == MountLine("/tmp/with blank\\and\ttab", "fuse.outcrop", "b.example.org")


def test_line_ends_that_only_python_knows_are_part_of_a_path() -> None:
    (line,) = parse_mountinfo("22 1 0:1 / /a\x0bb\x0cc\rd\x85e\u2028f rw - tmpfs none rw\n")
    assert line.mountpoint == "/a\x0bb\x0cc\rd\x85e\u2028f"


def test_layers_are_ours_by_their_source() -> None:
    text = "22 1 0:1 / /m ro - overlay outcrop:a.example.org ro\n23 1 0:2 / /n ro - overlay overlay ro\n"
    (line,) = our_mounts(parse_mountinfo(text))
    assert (line.mountpoint, line.repository, line.is_layered) == ("/m", "a.example.org", True)


def test_the_last_mount_on_a_place_is_the_one_that_shows() -> None:
    found = mount_at("/over", LINES)
    assert found is not None
    assert found.type == "tmpfs"
    assert mount_at("/elsewhere", LINES) is None


def test_ours_are_those_that_show() -> None:
    assert [line.mountpoint for line in our_mounts(LINES)] == ["/cvmfs/a.example.org", "/tmp/with blank\\and\ttab"]


def test_a_mount_is_meant_by_its_place_or_its_repository() -> None:
    assert wanted_mounts("a.example.org", LINES) == [LINES[1]]
    assert wanted_mounts("/cvmfs/a.example.org/", LINES) == [LINES[1]]
    for target in ("/over", "/nothing", "c.example.org"):
        with pytest.raises(NotFound):
            wanted_mounts(target, LINES)


def test_mount_below_an_open_transaction_ends_only_by_its_place() -> None:
    lower = MountLine("/srv/u/data/a.example.org.transactions/1/lower", "fuse.outcrop", "a.example.org")
    lines = [*LINES, lower]
    assert mounts_to_end("a.example.org", lines) == MountsToEnd((LINES[1],), left=(lower,))
    assert mounts_to_end(None, lines) == MountsToEnd((LINES[1], LINES[2]), left=(lower,))
    assert mounts_to_end(lower.mountpoint, lines) == MountsToEnd((lower,))
    assert wanted_mounts("a.example.org", lines) == [LINES[1], lower]
    with pytest.raises(NotFound) as caught:
        mounts_to_end("a.example.org", [lower])
    assert f"`outcrop umount {lower.mountpoint}`" in caught.value.hint


@pytest.mark.parametrize("line", ["", "1 2 3", "22 1 254:0 / / rw,relatime ext4 /dev/vda rw", "a b c d e f - ext4"])
def test_a_line_that_is_no_mount_is_refused(line: str) -> None:
    if not line:
        assert parse_mountinfo(line) == []
        return
    with pytest.raises(FormatError, match="is no mount"):
        parse_mountinfo(line)


def test_the_list_of_this_machine_is_understood() -> None:
    assert mount_at("/proc", mounts()) is not None


def test_users_of_a_mount_are_named(tmp_path: Path) -> None:
    proc, place = tmp_path / "proc", tmp_path / "mount"
    for number, cwd in ((7, place / "deep"), (8, tmp_path / "mountain"), (9, place)):
        directory = proc / str(number)
        (directory / "fd").mkdir(parents=True)
        (directory / "cwd").symlink_to(cwd)
        (directory / "comm").write_text(f"program{number}\n")
    (proc / "8" / "maps").write_text(f"00-01 r-xp 0 0:1 5     {place}/lib.so\n00-01 rw-p 0 0:0 0\n")
    (proc / "8" / "fd" / "0").symlink_to("/dev/null")
    (proc / "10").mkdir()
    assert list(users_of(place, proc)) == ["program7 (process 7)", "program8 (process 8)", "program9 (process 9)"]
