"""What tests of Gentoo Prefix share: a Gentoo of their own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.gentoo.stand_ins import MadeGentoo, make_gentoo


@pytest.fixture
def gentoo(tmp_path: Path) -> Iterator[MadeGentoo]:
    """The stand-ins' orders lie outside the directory for temporary files, of which a build has its own."""
    for program in ("git", "bwrap"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    with tempfile.TemporaryDirectory(prefix="outcrop-orders-", dir="/var/tmp") as orders:
        yield make_gentoo(tmp_path, Path(orders))
