from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from outcrop.compat.debian.package_mirror import PARTIAL, PackageMirror
from outcrop.errors import IntegrityError, NetworkError, NotFound, StorageError
from outcrop.software.sources.download import Downloads
from tests.compat.debian.packages_made_here import MadePackage
from tests.faulty_server import Behaviour, Site, serving, shortened, truncated, wrong_bytes
from tests.software.sources.pretended import PretendedNetwork, digest_of

BODY = b"a package"
DIGEST = digest_of(BODY)
URLS = ("http://one/p.deb", "http://two/p.deb")


def mirror(tmp_path: Path, **pages: bytes) -> tuple[PackageMirror, PretendedNetwork]:
    """A mirror and its network, which has `pages` by the name of their host."""
    network = PretendedNetwork({f"http://{host}/p.deb": body for host, body in pages.items()})
    return PackageMirror(tmp_path / "mirror", network), network


def test_a_file_is_kept_below_its_digest(tmp_path: Path) -> None:
    packages, _ = mirror(tmp_path, one=BODY)
    place = packages.fetch(DIGEST, URLS, "p 1")
    assert place == tmp_path / "mirror" / "sha256" / DIGEST[:2] / DIGEST
    assert place.read_bytes() == BODY


def test_a_file_that_is_there_is_not_fetched(tmp_path: Path) -> None:
    packages, network = mirror(tmp_path, one=BODY)
    packages.fetch(DIGEST, URLS, "p 1")
    packages.fetch(DIGEST, URLS, "p 1")
    assert network.asked == [URLS[0]]
    assert PackageMirror(packages.directory).fetch(DIGEST, (), "p 1").read_bytes() == BODY


def test_a_file_that_rotted_is_fetched_anew(tmp_path: Path) -> None:
    packages, _ = mirror(tmp_path, one=BODY)
    place = packages.fetch(DIGEST, URLS, "p 1")
    place.write_bytes(b"rotten")
    assert not packages.holds(DIGEST)
    assert packages.fetch(DIGEST, URLS, "p 1").read_bytes() == BODY


def test_a_file_that_rotted_is_not_given_without_the_network(tmp_path: Path) -> None:
    packages = PackageMirror(tmp_path)
    packages.keep(BODY)
    packages.place(DIGEST).write_bytes(b"rotten")
    with pytest.raises(IntegrityError, match=f"p 1 .* is damaged: {packages.place(DIGEST)} has other bytes"):
        packages.fetch(DIGEST, URLS, "p 1")


def test_without_the_network_a_missing_file_is_named_with_its_digest(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=f"p 1.*{DIGEST}") as raised:
        PackageMirror(tmp_path).fetch(DIGEST, URLS, "p 1")
    assert str(tmp_path) in raised.value.hint
    assert "compat build --lock" in raised.value.hint


def test_the_next_address_is_asked_where_one_lacks_the_file(tmp_path: Path) -> None:
    packages, network = mirror(tmp_path, two=BODY)
    assert packages.fetch(DIGEST, URLS, "p 1").read_bytes() == BODY
    assert network.asked == list(URLS)


def test_the_next_address_is_asked_where_one_gives_something_else(tmp_path: Path) -> None:
    packages, _ = mirror(tmp_path, one=b"something else", two=BODY)
    assert packages.fetch(DIGEST, URLS, "p 1").read_bytes() == BODY


@pytest.mark.parametrize("pages", [{"one": b"wrong"}, {"two": b"wrong"}, {"one": b"wrong", "two": b""}])
def test_a_package_with_a_wrong_digest_is_refused(tmp_path: Path, pages: dict[str, bytes]) -> None:
    packages, _ = mirror(tmp_path, **pages)
    with pytest.raises(IntegrityError, match="p 1"):
        packages.fetch(DIGEST, URLS, "p 1")
    assert not packages.holds(DIGEST)
    assert not packages.place(DIGEST).exists()


def test_a_package_that_nobody_has_is_a_trouble_of_the_network(tmp_path: Path) -> None:
    packages, _ = mirror(tmp_path)
    with pytest.raises(NetworkError, match="404"):
        packages.fetch(DIGEST, URLS, "p 1")
    with pytest.raises(NetworkError, match="no address"):
        packages.fetch(DIGEST, (), "p 1")


def test_what_is_kept_is_found_by_its_digest(tmp_path: Path) -> None:
    packages = PackageMirror(tmp_path)
    assert packages.keep(BODY) == DIGEST
    assert packages.keep(BODY) == DIGEST
    assert packages.holds(DIGEST)
    assert [path.name for path in packages.place(DIGEST).parent.iterdir()] == [DIGEST]


def test_keeping_mends_a_file_that_rotted(tmp_path: Path) -> None:
    packages = PackageMirror(tmp_path)
    packages.keep(BODY)
    packages.place(DIGEST).write_bytes(b"rotten")
    packages.keep(BODY)
    assert packages.holds(DIGEST)


def test_a_mirror_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "sha256").touch()
    packages = PackageMirror(tmp_path)
    with pytest.raises(StorageError):
        packages.keep(BODY)
    with pytest.raises(StorageError):
        packages.holds(DIGEST)


@pytest.mark.integration
@pytest.mark.fault
@pytest.mark.parametrize("fault", [truncated, shortened, lambda data: wrong_bytes(data + b"x")])
def test_a_server_s_damage_leaves_nothing_and_the_next_time_it_works(
    tmp_path: Path, fault: Callable[[bytes], Behaviour]
) -> None:
    made = MadePackage("bash")
    site = Site({made.filename: made.data})
    with serving(site) as url:
        packages = PackageMirror(tmp_path, Downloads(tmp_path / PARTIAL))
        site.faults[made.filename] = fault(made.data)
        with pytest.raises((IntegrityError, NetworkError)):
            packages.fetch(made.sha256, [f"{url}/{made.filename}"], "bash")
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
        site.faults.clear()
        assert packages.fetch(made.sha256, [f"{url}/{made.filename}"], "bash").read_bytes() == made.data
