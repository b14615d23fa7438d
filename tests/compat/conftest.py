"""What tests of the compatibility layer share: keys, made once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compat.debian.archive_made_here import GPG, WITHOUT_GPG, Gnupg, MadeKey, gnupg_home


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
