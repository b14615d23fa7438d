"""A repository with a short history, for the commands that read or change it."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.stratum0.conftest import NAME, Publisher, new_publisher, test_keys
from tests.stratum0.revising import revise

FAR_DAYS = 20_000
"""Commands read the clock of this machine, which may show any later day than that of the tests."""

__all__ = ["NAME", "new_publisher", "owned", "test_keys"]


@pytest.fixture
def owned(new_publisher: Callable[..., Publisher], home: object) -> Publisher:
    """Revision 1 is empty; 2 and 4 have accounts, 3 was published by another tool. `OUTCROP_DATA_DIR` is set."""
    publisher = new_publisher(whitelist_days=FAR_DAYS)
    os.environ["OUTCROP_DATA_DIR"] = str(publisher.directory)
    revise(publisher, {"/gcc/bin/gcc": "13", "/gcc/README": "x"}, message="GCC 13", tag="2026.06")
    revise(publisher, {"/gcc/README": "another"}, with_account=False, message="by another tool")
    message = "GCC *14*\n\n- with `fortran`\n<script>"
    revise(publisher, {"/gcc": None, "/llvm/bin/clang": "19"}, message=message, reason="13 computes wrongly")
    return publisher
