"""What happens on a mounted repository: one function a scenario, run by `private_place.play` in its own process."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from outcrop.client.address import RepositoryAddress
from outcrop.client.keys import load_keys
from outcrop.client.mount.kernel import unmount
from outcrop.client.mount.mountinfo import MountLine, mount_at, mounts, our_mounts
from outcrop.client.mount.processes import RunningMount, check_mountpoint, clear_dead_mount, is_dead, mounted
from outcrop.client.mount.repository_tree import RepositoryTree, open_mounted_tree, public_key_texts
from outcrop.client.mount.unmounting import end_mount, status, wanted_mounts
from outcrop.client.repository import ClientSettings, open_repository
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.names import repository_name
from outcrop.errors import AlreadyExists, Busy
from tests.client.mount.fake_tree import FakeTree
from tests.cvmfs.samples import DIRECTORY, expected

PATIENCE_SECONDS = 20.0
NAME = "fake.example.org"
READERS = 256


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"it never happened that {what}"
        time.sleep(0.01)


def mounts_below(directory: Path) -> list[MountLine]:
    """The mounts of ours that this test has made: others may have some elsewhere."""
    return [line for line in our_mounts(mounts()) if line.mountpoint.startswith(f"{directory}/")]


def is_running(process: int) -> bool:
    with contextlib.suppress(OSError):
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in ("Z", "X")
    return False


def fake_tree(directory: Path) -> FakeTree:
    """A tree with files of many sizes in nested catalogs."""
    objects = directory / "objects"
    objects.mkdir(exist_ok=True)
    tree = FakeTree(objects)
    rng = random.Random(1)
    for number in range(300):
        size = rng.choice((0, 10, 5000, 200_000))
        tree.put_file(b"/d%d/e%d/f%d" % (number % 3, number % 20, number), rng.randbytes(size))
    tree.put_chunked(b"/big", [rng.randbytes(700_000) for _ in range(5)])
    tree.put_link(b"/link", b"d0/e0")
    tree.nest(b"/d1")
    tree.nest(b"/d1/e1")
    return tree


@contextlib.contextmanager
def fake_mount(directory: Path, tree: FakeTree | None = None) -> Iterator[RunningMount]:
    mountpoint = directory / "mount"
    mountpoint.mkdir(exist_ok=True)
    chosen = tree or fake_tree(directory)
    with mounted(lambda: chosen, mountpoint, source=NAME, log=directory / "log") as running:
        yield running


def bytes_of(value: str | dict[str, str]) -> bytes:
    """A path of the expectations: text, or base64 where it is no UTF-8."""
    return value.encode() if isinstance(value, str) else base64.b64decode(value["base64"])


def unpacked_sample(directory: Path, name: str) -> Path:
    """Unpacks the sample called `name` below `directory`; returns its key."""
    subprocess.run(["tar", "xzf", DIRECTORY / f"{name}.tar.gz", "-C", directory], check=True)
    return DIRECTORY / "keys" / f"{name}.pub"


def sample_shows_what_the_stock_client_shows(directory: Path, name: str) -> None:
    key = unpacked_sample(directory, name)
    address = RepositoryAddress(repository_name(name), (f"file://{directory}/{name}",), (key,))
    settings = ClientSettings(cache_directory=directory / "cache", state_directory=directory / "state")

    def open_tree() -> RepositoryTree:
        return RepositoryTree(open_repository(address, settings), public_keys=public_key_texts(load_keys([key])))

    mountpoint = directory / "mount"
    mountpoint.mkdir()
    document = expected(name)
    with mounted(open_tree, mountpoint, source=name):
        for _ in range(2):
            for entry in document["entries"]:
                compare(os.fsencode(mountpoint) + bytes_of(entry["path"]).rstrip(b"/"), entry)
            for group in document["hardlink_groups"]:
                assert len({os.stat(os.fsencode(mountpoint) + bytes_of(path)).st_ino for path in group}) == 1, group
        for attribute in ("user.fqrn", "user.revision", "user.root_hash", "user.tag", "user.pubkeys", "user.nclg",
                          "user.catalog_counters", "user.repo_counters"):  # fmt: skip
            assert os.getxattr(mountpoint, attribute).decode() == document["root_magic"][attribute], attribute
        numbers = [entry.inode() for entry in walk(mountpoint)]
        shared = sum(len(group) - 1 for group in document["hardlink_groups"])
        assert len(set(numbers)) == len(numbers) - shared
        assert len(numbers) == len(document["entries"]) - 1
    assert mounts_below(directory) == []


def private_cache_is_told_of_and_goes_with_the_server(directory: Path) -> None:
    name = "test.example.org"
    key = unpacked_sample(directory, name)
    address = RepositoryAddress(repository_name(name), (f"file://{directory}/{name}",), (key,))
    (directory / "cache").write_text("a file, so that nothing can be made below it")
    settings = ClientSettings(cache_directory=directory / "cache", state_directory=directory / "state")
    mountpoint = directory / "mount"
    mountpoint.mkdir()
    for number in (signal.SIGTERM, signal.SIGKILL):
        with mounted(partial(open_mounted_tree, address, settings), mountpoint, source=name) as running:
            (note,) = running.notes
            private = Path(note.rpartition(" ")[2])
            assert private.is_dir(), note
            os.kill(running.server, number)
        assert not private.exists(), number


def walk(directory: Path) -> Iterator[os.DirEntry[str]]:
    for entry in os.scandir(directory):
        yield entry
        if entry.is_dir(follow_symlinks=False):
            yield from walk(Path(entry.path))


def compare(path: bytes, entry: dict[str, Any]) -> None:
    status = os.lstat(path)
    seconds, nanoseconds = divmod(status.st_mtime_ns, 10**9)
    found = {
        "st_mode": status.st_mode, "size": status.st_size, "nlink": status.st_nlink, "uid": status.st_uid,
        "gid": status.st_gid, "mtime": seconds, "mtime_ns": nanoseconds,
    }  # fmt: skip
    assert found == {key: entry[key] for key in found}, path
    assert os.listxattr(path, follow_symlinks=False) == sorted(entry["xattrs_listed"]), path
    for name, value in entry["xattrs_listed"].items():
        assert os.getxattr(path, name, follow_symlinks=False) == base64.b64decode(value), (path, name)
    if "children" in entry:
        assert sorted(os.listdir(path)) == sorted(bytes_of(child) for child in entry["children"]), path
    if "target" in entry:
        assert os.readlink(path) == bytes_of(entry["target"]), path
    if "rdev" in entry:
        assert [os.major(status.st_rdev), os.minor(status.st_rdev)] == entry["rdev"], path
    if "sha256" in entry:
        with open(path, "rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == entry["sha256"], path
    # The file has been read by now, which the reference client's `user.lhash` wants.
    for name, value in entry["magic"].items():
        assert os.getxattr(path, name).decode() == value, (path, name)


def programs_run_from_the_mount(directory: Path) -> None:
    tree = fake_tree(directory)
    tree.put_file(b"/lib/answer/__init__.py", b"from answer.deep import VALUE\n")
    tree.put_file(b"/lib/answer/deep.py", b"VALUE = 6 * 7\n")
    interpreter = Path(os.path.realpath(sys.executable)).read_bytes()
    tree.put_file(b"/bin/python", interpreter, mode=0o755)
    tree.put_file(b"/bin/script", b"#!/bin/sh\necho script $1\n", mode=0o755)
    with fake_mount(directory, tree) as running:
        programs = running.mountpoint / "bin"
        library = {**os.environ, "PYTHONPATH": f"{running.mountpoint}/lib", "PYTHONHOME": sys.base_prefix}
        command = [str(programs / "python"), "-c", "import answer; print(answer.VALUE, answer.__file__)"]
        said = subprocess.run(command, env=library, stdout=subprocess.PIPE, check=True, text=True).stdout
        assert said == f"42 {running.mountpoint}/lib/answer/__init__.py\n"
        said = subprocess.run([programs / "script", "ran"], stdout=subprocess.PIPE, check=True, text=True).stdout
        assert said == "script ran\n"


def many_processes_read_at_random(directory: Path) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    tree = fake_tree(directory)
    contents = {
        path: (tree.directory / entry.digest.text).read_bytes()
        for path, entry in tree.entries.items()
        if entry.digest is not None
    }
    contents[b"/big"] = b"".join((tree.directory / p.object.digest.text).read_bytes() for p in tree.layouts[b"/big"])
    with fake_mount(directory, tree) as running:
        readers = []
        for number in range(READERS):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    read_at_random(os.fsencode(running.mountpoint), contents, random.Random(number))
                    status = 0
                finally:
                    os._exit(status)
            readers.append(child)
        assert [os.waitpid(reader, 0)[1] for reader in readers] == [0] * READERS
    assert "Traceback" not in (directory / "log").read_text()


def read_at_random(mountpoint: bytes, contents: dict[bytes, bytes], rng: random.Random) -> None:
    for path in rng.sample(sorted(contents), 30) + [b"/big"] * 5:
        content = contents[path]
        offset = rng.randrange(len(content) + 1)
        size = rng.choice((1, 4096, 1_000_000))
        with open(mountpoint + path, "rb", buffering=0) as file:
            assert os.pread(file.fileno(), size, offset) == content[offset : offset + size]


def server_that_is_killed_leaves_no_mount(directory: Path) -> None:
    with fake_mount(directory) as running:
        file = os.open(running.mountpoint / "big", os.O_RDONLY)
        os.kill(running.server, signal.SIGKILL)
        wait_until(lambda: mount_at(str(running.mountpoint), mounts()) is None, "the mount is gone")
        with pytest.raises(OSError, match=r"not connected|aborted|Input/output"):
            os.pread(file, 4096, 3_000_000)
        assert list(running.mountpoint.iterdir()) == []


def watcher_that_is_killed_ends_the_mount(directory: Path) -> None:
    with fake_mount(directory) as running:
        os.kill(running.watcher, signal.SIGKILL)
        wait_until(lambda: not is_running(running.server), "the server has ended")
        wait_until(lambda: mount_at(str(running.mountpoint), mounts()) is None, "the mount is gone")


def end_mount_at(place: Path) -> None:
    (line,) = wanted_mounts(str(place), mounts())
    end_mount(line, lazy=False)


def dead_mount_is_cleared(directory: Path) -> None:
    """Server and watcher are killed at once."""
    ways: list[Callable[[Path], object]] = [clear_dead_mount, check_mountpoint, end_mount_at]
    for clear in ways:
        with fake_mount(directory) as running:
            os.kill(running.watcher, signal.SIGSTOP)
            os.kill(running.server, signal.SIGKILL)
            os.kill(running.watcher, signal.SIGKILL)
            wait_until(lambda: is_dead(running.mountpoint), "the mount is dead")
            assert [status(line).server for line in mounts_below(directory)] == [None]
            clear(running.mountpoint)
            assert mount_at(str(running.mountpoint), mounts()) is None


def mount_ends_with_its_owner(directory: Path) -> None:
    reading, writing = os.pipe()
    owner = os.fork()
    if owner == 0:
        with fake_mount(directory) as running:
            os.write(writing, f"{running.server}\n".encode())
            signal.pause()
        os._exit(0)
    server = int(os.read(reading, 100))
    assert (directory / "mount" / "big").exists()
    os.kill(owner, signal.SIGKILL)
    os.waitpid(owner, 0)
    wait_until(lambda: mount_at(str(directory / "mount"), mounts()) is None, "the mount is gone")
    wait_until(lambda: not is_running(server), "the server has ended")


def second_mount_on_the_same_place_is_refused(directory: Path) -> None:
    with fake_mount(directory) as running:
        with pytest.raises(AlreadyExists), fake_mount(directory):
            pass
        assert (running.mountpoint / "big").exists()


def busy_mount_names_who_uses_it(directory: Path) -> None:
    with fake_mount(directory) as running:
        user = subprocess.Popen(["sleep", "60"], cwd=running.mountpoint / "d0")
        with pytest.raises(Busy, match=rf"sleep \(process {user.pid}\)"):
            end_mount_at(running.mountpoint)
        user.kill()
        user.wait()
        end_mount_at(running.mountpoint)
        assert not is_running(running.server)
        assert mount_at(str(running.mountpoint), mounts()) is None


def told_to_end_while_in_use(directory: Path) -> None:
    with fake_mount(directory) as running:
        file = os.open(running.mountpoint / "big", os.O_RDONLY)
        os.kill(running.server, signal.SIGTERM)
        wait_until(lambda: mount_at(str(running.mountpoint), mounts()) is None, "it is out of sight")
        assert len(os.pread(file, 4096, 0)) == 4096
        wait_until(lambda: not is_running(running.server), "the server has ended")


def nothing_can_be_written(directory: Path) -> None:
    with fake_mount(directory) as running:
        place = running.mountpoint
        attempts: list[Callable[[], object]] = [
            lambda: (place / "new").write_text("x"),
            lambda: (place / "big").write_text("x"),
            (place / "dir").mkdir,
            (place / "big").unlink,
            lambda: (place / "big").rename(place / "small"),
            lambda: (place / "l").symlink_to("big"),
            lambda: os.utime(place / "big"),
            lambda: os.setxattr(place / "big", "user.a", b"b"),
        ]
        for attempt in attempts:
            with pytest.raises(OSError, match="Read-only"):
                attempt()


def failed_fetch_is_an_error_and_a_killed_reader_goes_at_once(directory: Path) -> None:
    tree = fake_tree(directory)
    slow, broken = tree.put_file(b"/slow", b"slow"), tree.put_file(b"/broken", b"broken")
    assert slow.digest is not None
    assert broken.digest is not None
    tree.remote |= {slow.digest}
    with fake_mount(directory, tree) as running:
        reader = subprocess.Popen(["cat", running.mountpoint / "slow"])
        time.sleep(0.5)
        assert len((running.mountpoint / "big").read_bytes()) == 3_500_000
        reader.kill()
        began = time.monotonic()
        assert reader.wait(timeout=10) == -signal.SIGKILL
        assert time.monotonic() - began < 5
    tree.remote = {broken.digest}
    tree.broken = True
    tree.network.set()
    with fake_mount(directory, tree) as running:
        with pytest.raises(OSError, match="Input/output"):
            (running.mountpoint / "broken").read_bytes()
        assert (running.mountpoint / "slow").read_bytes() == b"slow"
    assert "http://localhost does not answer" in (directory / "log").read_text()


def keep(tree: FakeTree) -> FakeTree:
    return tree


def strange_mountpoints_work(directory: Path) -> None:
    for name in (b"with blank", "größer 文件".encode(), b"latin1-\xe9", b"back\\slash,comma", b"tab\tand\nline"):
        place = Path(os.fsdecode(os.fsencode(directory) + b"/" + name))
        place.mkdir()
        tree = fake_tree(directory)
        with mounted(partial(keep, tree), place, source=NAME) as running:
            assert (place / "link" / "f0").exists()
            end_mount_at(place)
            assert not is_running(running.server)
        assert list(place.iterdir()) == []
        place.rmdir()


def user_mounts_by_the_helper(directory: Path) -> None:
    """As a user who may not mount: `fusermount3` does it, where the device is open to all."""
    device = directory / "fuse"
    subprocess.run(["mknod", device, "c", "10", "229"], check=True)
    device.chmod(0o666)
    subprocess.run(["mount", "--bind", device, "/dev/fuse"], check=True)
    # pytest keeps its directories to root alone. In this namespace nobody else sees what is on /mnt.
    subprocess.run(["mount", "--bind", directory, "/mnt"], check=True)
    directory = Path("/mnt")
    directory.chmod(0o777)
    tree = fake_tree(directory)
    (directory / "mount").mkdir()
    os.chown(directory / "mount", 65534, 65534)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgid(65534)
            os.setuid(65534)
            with mounted(lambda: tree, directory / "mount", source=NAME, log=directory / "log") as running:
                assert len((running.mountpoint / "big").read_bytes()) == 3_500_000
                line = mount_at(str(running.mountpoint), mounts())
                assert line is not None
                assert (line.type, line.source) == ("fuse.outcrop", NAME)
                os.kill(running.server, signal.SIGKILL)
                wait_until(lambda: mount_at(str(running.mountpoint), mounts()) is None, "the mount is gone")
            with mounted(lambda: tree, directory / "mount", source=NAME) as running:
                unmount(running.mountpoint, lazy=False)
                wait_until(lambda: not is_running(running.server), "the server has ended")
            code = 0
        except BaseException as error:
            sys.excepthook(type(error), error, error.__traceback__)
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def commands_mount_and_unmount(directory: Path) -> None:
    name = "test.example.org"
    key = unpacked_sample(directory, name)
    place = directory / "größer place"
    place.mkdir()
    reading = [f"file://{directory}/{name}", str(place), "--key", str(key)]

    planned = outcrop("mount", *reading, "--dry-run")
    assert str(place) in planned.stdout
    assert mounts_below(directory) == []

    done = outcrop("mount", *reading)
    assert (done.returncode, done.stdout) == (0, f"{place}\n")
    assert (place / "README.md").exists()
    listed = json.loads(outcrop("mount", "--list", "--json").stdout)
    (found,) = (mount for mount in listed if mount["mountpoint"] == str(place))
    assert found["repository"] == name
    assert found["revision"] == 6
    assert found["mountpoint"] == str(place)
    assert is_running(found["server"])
    again = outcrop("mount", *reading)
    assert again.returncode == 1
    assert "already exists" in again.stderr

    user = subprocess.Popen(["sleep", "60"], cwd=place)
    busy = outcrop("umount", name)
    assert busy.returncode == 8
    assert "sleep (process" in busy.stderr
    user.kill()
    user.wait()
    assert "unmount" in outcrop("umount", "--all", "--dry-run").stdout
    assert outcrop("umount", name).returncode == 0
    assert not is_running(found["server"])
    assert outcrop("umount", str(place)).returncode == 1

    foreground = subprocess.Popen([*OUTCROP, "mount", *reading, "--foreground"])
    wait_until(lambda: mount_at(str(place), mounts()) is not None, "it is mounted")
    wait_until((place / "README.md").exists, "it answers")
    foreground.send_signal(signal.SIGINT)
    assert foreground.wait(PATIENCE_SECONDS) == 0
    assert mounts_below(directory) == []


OUTCROP = (sys.executable, "-m", "outcrop")


def outcrop(*arguments: str) -> subprocess.CompletedProcess[str]:
    # A pipe that the server kept open would make this wait for ever.
    return subprocess.run([*OUTCROP, *arguments], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)


def large_file_is_read_in_large_pieces(directory: Path) -> None:
    tree = fake_tree(directory)
    chunks = [os.urandom(4_000_000) for _ in range(3)]
    tree.put_chunked(b"/large", chunks)
    with fake_mount(directory, tree) as running:
        found = (running.mountpoint / "large").read_bytes()
    assert Digest.of(found) == Digest.of_pieces(chunks)


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
