"""What is seen on real mounts: run by `private_place.play`, in namespaces of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from outcrop.client.mount.mountinfo import mounts
from tests.client.alike import seen
from tests.client.ladder import compare_sample
from tests.cvmfs.samples import DIRECTORY, NAMES, expected

_SECONDS = 60
_ABOUT_THE_ROOT = (
    "user.fqrn", "user.revision", "user.root_hash", "user.tag", "user.pubkeys", "user.catalog_counters",
    "user.repo_counters",
)  # fmt: skip


def _outcrop(*arguments: str) -> None:
    line = [sys.executable, "-m", "outcrop", *arguments]
    done = subprocess.run(line, capture_output=True, text=True, timeout=_SECONDS, check=False)
    assert done.returncode == 0, done.stderr


@contextmanager
def _mounted(directory: Path, by: str, url: str, *options: str) -> Iterator[Path]:
    """The repository at `url`, mounted below `directory` within the block. Nothing is left mounted after it."""
    os.environ |= {"OUTCROP_CACHE_DIR": str(directory / "cache"), "OUTCROP_STATE_DIR": str(directory / "state")}
    place = directory / "mount"
    place.mkdir()
    _outcrop("mount", url, str(place), "--by", by, *options)
    try:
        yield place
    finally:
        _outcrop("umount", str(place))
    assert os.fsencode(place) not in {os.fsencode(line.mountpoint) for line in mounts()}
    assert list(place.iterdir()) == []


def writes_down_what_it_shows(directory: Path, by: str, output: str, url: str, *options: str) -> None:
    with _mounted(directory, by, url, *options) as place:
        seen.main(str(place), output)


def sample_shows_what_the_stock_client_shows(
    directory: Path, by: str, server: str, answers: str, fqrn: str, *options: str
) -> None:
    """`server` names the sample that is read, `answers` what the stock client said of that revision."""
    assert server in NAMES
    subprocess.run(["tar", "xzf", DIRECTORY / f"{server}.tar.gz", "-C", directory], check=True)
    key = str(DIRECTORY / "keys" / f"{fqrn}.pub")
    with _mounted(directory, by, f"file://{directory}/{server}", "--fqrn", fqrn, "--key", key, *options) as place:
        if by == "fuse":
            _compare_with_attributes(place, answers)
        else:
            # No file has the attributes by which a mount informs about it.
            compare_sample.main(answers, str(place))


def _compare_with_attributes(place: Path, answers: str) -> None:
    # This takes long to import, and the other scenario goes without it.
    from tests.client.mount.scenarios import bytes_of, compare

    document, top = expected(answers), os.fsencode(place)
    for entry in document["entries"]:
        compare(top + bytes_of(entry["path"]).rstrip(b"/"), entry)
    for group in document["hardlink_groups"]:
        assert len({os.stat(top + bytes_of(path)).st_ino for path in group}) == 1, group
    for attribute in _ABOUT_THE_ROOT:
        assert os.getxattr(place, attribute).decode() == document["root_magic"][attribute], attribute


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
