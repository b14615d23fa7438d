"""What tests of the compatibility layer share: keys and a layer, made once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.debian.archive_made_here import GPG, WITHOUT_GPG, Gnupg, MadeKey, gnupg_home
from tests.compat.layer_publisher import PRODUCTION, TESTS, Publisher, archives_served, write_stack
from tests.compat.layers import SharedLayer, shared_layer


@pytest.fixture(scope="session")
def gnupg() -> Iterator[Gnupg]:
    """A home of gpg; the test is skipped where there is no gpg."""
    if GPG is None:
        pytest.skip(WITHOUT_GPG)
    with gnupg_home() as made:
        yield made


@pytest.fixture(scope="session")
def archive_key(gnupg: Gnupg) -> MadeKey:
    """The key of the archive that is trusted."""
    return gnupg.make_key("Archive <archive@example.org>")


@pytest.fixture(scope="session")
def foreign_key(gnupg: Gnupg) -> MadeKey:
    """A key that nobody trusts."""
    return gnupg.make_key("Somebody <somebody@example.org>")


@pytest.fixture(scope="session")
def layer_with_compilers(tmp_path_factory: pytest.TempPathFactory) -> SharedLayer:
    """A layer with all standard sets and the compilers, shared by all workers of a run."""
    base = tmp_path_factory.getbasetemp()
    return shared_layer((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "layer-with-compilers")


@pytest.fixture
def publisher(tmp_path: Path, archive_key: MadeKey) -> Publisher:
    """A machine with both repositories, empty, and a stack."""
    made = Publisher(tmp_path, archive_key)
    write_stack(tmp_path / "stack")
    for name in (PRODUCTION, TESTS):
        made("repo", "create", name, "--storage", str(tmp_path / "storage" / name))
    return made


@pytest.fixture
def archives(publisher: Publisher) -> Iterator[dict[str, str]]:
    """Archives of the publisher's library, by name: their addresses."""
    with archives_served(publisher) as urls:
        yield urls
