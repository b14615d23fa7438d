"""What a proof reads in strace's lines."""

from __future__ import annotations

from outcrop.client.relocate.observed import observe
from outcrop.client.relocate.prefix import prefix

OLD = prefix("/cvmfs/repo.example")


def observed(text: str) -> list[tuple[bytes, bytes]]:
    lines = [line.strip().encode() + b"\n" for line in text.strip().splitlines()]
    return [(access.path, access.program) for access in observe(lines, b"/work", OLD).old]


def test_a_path_that_is_missing_counts_with_its_program() -> None:
    text = """
        100 execve("/new/bin/x", [...], 0x7ffc /* 3 vars */) = 0
        100 openat(AT_FDCWD</work>, "/cvmfs/repo.example/data", O_RDONLY) = -1 ENOENT (No such file or directory)
    """
    assert observed(text) == [(b"/cvmfs/repo.example/data", b"/new/bin/x")]


def test_a_relative_path_counts_where_it_leads() -> None:
    text = """
        100 execve("/new/bin/x", [...], 0x7ffc /* 3 vars */) = 0
        100 openat(3</cvmfs/repo.example>, "data", O_RDONLY) = -1 ENOENT (No such file or directory)
        100 newfstatat(AT_FDCWD</cvmfs>, "repo.example/b", 0x7ffc, 0) = -1 ENOENT (No such file or directory)
    """
    assert [path for path, _ in observed(text)] == [b"/cvmfs/repo.example/data", b"/cvmfs/repo.example/b"]


def test_what_lies_behind_a_link_counts() -> None:
    text = """
        100 openat(AT_FDCWD</work>, "/new/link", O_RDONLY) = 3</cvmfs/repo.example/x>
    """
    assert observed(text) == [(b"/cvmfs/repo.example/x", b"")]


def test_writing_counts_too() -> None:
    assert observed('100 mkdir("/cvmfs/repo.example/x", 0777) = -1 ENOENT (No such file or directory)')


def test_other_names_and_cut_strings_do_not_count() -> None:
    text = """
        100 execve("/new/bin/x", ["/cvmfs/repo.example/x"...], 0x7ffc /* 3 vars */) = 0
        100 openat(AT_FDCWD</work>, "/cvmfs/repo.example-other/x", O_RDONLY) = 3</cvmfs/repo.example-other/x>
        100 openat(AT_FDCWD</work>, "/mnt/cvmfs/repo.example/x", O_RDONLY) = 3</mnt/cvmfs/repo.example/x>
    """
    assert observed(text) == []


def test_a_child_is_known_by_its_parents_program() -> None:
    text = """
        100 execve("/new/bin/x", [...], 0x7ffc /* 3 vars */) = 0
        100 clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD <unfinished ...>
        101 openat(AT_FDCWD</work>, "/cvmfs/repo.example/y", O_RDONLY) = -1 ENOENT (No such file or directory)
        100 <... clone resumed>, child_tidptr=0x7f) = 101
    """
    assert observed(text) == [(b"/cvmfs/repo.example/y", b"/new/bin/x")]


def test_any_number_of_slashes_is_one() -> None:
    text = """
        100 openat(AT_FDCWD</work>, "//cvmfs/repo.example/x", O_RDONLY) = -1 ENOENT (No such file or directory)
        100 openat(AT_FDCWD</work>, "/cvmfs//repo.example/y", O_RDONLY) = -1 ENOENT (No such file or directory)
    """
    assert [path for path, _ in observed(text)] == [b"//cvmfs/repo.example/x", b"/cvmfs//repo.example/y"]


def test_sockets_count() -> None:
    text = r"""
        100 connect(3, {sa_family=AF_UNIX, sun_path="/cvmfs/repo.example/s"}, 110) = -1 ENOENT (No such file)
        100 connect(3, {sa_family=AF_UNIX, sun_path="\x2fcvmfs\x2frepo.example\x2ft"}, 110) = -1 ENOENT (No such file)
        100 connect(3, {sa_family=AF_UNIX, sun_path=@"/cvmfs/repo.example/abstract"}, 110) = -1 ECONNREFUSED (No)
    """
    assert [path for path, _ in observed(text)] == [b"/cvmfs/repo.example/s", b"/cvmfs/repo.example/t"]
