"""A process that publishes or collects: `python -m tests.stratum0.worker ROLE DATA_DIRECTORY NUMBER STOP_FILE`.

NUMBER is the seed of a publisher and the time of a collector. A worker says `ready` before it begins, and what it did
when it ends. Contents come from a small pool, so that what one publish takes away and a collection is about to remove
is what another brings back.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from outcrop.cvmfs.paths import repository_path
from outcrop.stratum0.collection.collect import collect_garbage
from outcrop.stratum0.collection.retention import Window
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree
from outcrop.stratum0.publishing.ingest import IngestRequest, ingest
from outcrop.stratum0.repository import OwnedRepository
from tests.stratum0.conftest import BEGINNING, NAME

ROUNDS = 12
FILES = 14
POOL = 30
PAUSE_SECONDS = 0.1
NOW = BEGINNING + timedelta(minutes=1)
"""The one moment at which everything is published: no clock decides who came first."""


def place(seed: int) -> str:
    """Where the publisher with this seed publishes."""
    return f"/publisher{seed}"


def contents(seed: int, number: int) -> dict[str, bytes]:
    """What that publisher publishes in round `number`, in place of all that it published before."""
    noise = random.Random(1000 * seed + number)
    pool = [random.Random(one).randbytes(300 + 50 * one) for one in range(POOL)]
    files = {f"d{one % 3}/f{one}": noise.choice(pool) for one in range(FILES)}
    nested = noise.randrange(3)
    return files | {f"d{nested}/.cvmfscatalog": b""}


def publish(repository: OwnedRepository, seed: int) -> str:
    pauses = random.Random(seed)
    for number in range(ROUNDS):
        with tempfile.TemporaryDirectory() as directory:
            for name, data in contents(seed, number).items():
                path = Path(directory, name)
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(data)
            at = repository_path(place(seed))
            request = IngestRequest(trees=(DirectoryTree(Path(directory)),), at=at, replace=(at,))
            assert ingest(repository, request, now=NOW).published
        time.sleep(pauses.uniform(0, PAUSE_SECONDS))
    return str(ROUNDS)


def collect(repository: OwnedRepository, now: int, stop: Path) -> str:
    """Collects all but the current and the previous revision, again and again until there is a file `stop`; returns
    how many objects were removed."""
    removed = 0
    while True:
        removed += collect_garbage(repository, Window.of_days(0, now), now=now).objects
        if stop.exists():
            return str(removed)


def main(role: str, data_directory: str, number: str, stop: str) -> None:
    repository = OwnedRepository.open(Path(data_directory), NAME)
    say("ready")
    say(publish(repository, int(number)) if role == "publish" else collect(repository, int(number), Path(stop)))


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
