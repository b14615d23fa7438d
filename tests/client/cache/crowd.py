"""One of many processes that share a small cache: `python -m tests.client.cache.crowd DIRECTORY LIMIT SEED SECONDS`.

It asks for random objects, of a set that all processes know, and puts in what is not there. It ends with 1 as soon as a
read gives other bytes than it must.
"""

from __future__ import annotations

import functools
import random
import sys
import time
from pathlib import Path

from outcrop.client.cache import Cache
from outcrop.client.cache.quota import Quota
from outcrop.client.content import Content
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.objects import ObjectKind
from tests.client.cache.objects import content_of, insert, read

OBJECTS = 300
LARGEST_BYTES = 60_000


@functools.cache
def item(number: int) -> tuple[bytes, Content, bytes]:
    """The object of this number: its bytes, what asks for it, how it is stored."""
    source = random.Random(number)
    data = source.randbytes(source.randrange(LARGEST_BYTES))
    kind = ObjectKind.CATALOG if number % 50 == 0 else ObjectKind.FILE
    compression = Compression.NONE if number % 3 else Compression.ZLIB
    return data, *content_of(data, compression, kind=kind)


def work(directory: Path, limit: int, seed: int, seconds: float) -> int:
    """Reads and inserts for a while; how often it read."""
    cache = Cache.create(directory, tell=lambda text: sys.exit(f"told: {text}"), quota=Quota(limit))
    choice = random.Random(seed)
    deadline = time.monotonic() + seconds
    reads = 0
    while time.monotonic() < deadline:
        data, content, stored = item(int(choice.triangular(0, OBJECTS, 0)))
        found = read(cache, content)
        if found is None:
            insert(cache, content, stored)
            found = read(cache, content)
        if found is not None and found != data:
            sys.exit("other bytes than were asked for")
        reads += 1
    return reads


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
