from __future__ import annotations

import hashlib
import lzma
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from outcrop.compat.debian.archive import Archive, ReleaseMetadata, read_release, suites_of
from outcrop.compat.debian.package_mirror import PARTIAL, PackageMirror
from outcrop.errors import IntegrityError, InvalidValue, NetworkError, TrustError
from outcrop.software.sources.download import Downloads
from tests.compat.debian.archive_made_here import ADDRESS, NOW, MadeArchive, MadeKey, MadeSuite, index_text, signed
from tests.compat.debian.packages_made_here import MadePackage, compressed
from tests.faulty_server import serving
from tests.software.sources.pretended import PretendedNetwork, digest_of

SECURITY = "http://security.example.org/debian-security"
INDEX = "main/binary-amd64/Packages.xz"
BASH, DASH = MadePackage("bash", "5.2-1"), MadePackage("dash", architecture="all")

pytestmark = pytest.mark.integration  # gpgv


def made(key: MadeKey, *, suite: MadeSuite | None = None) -> MadeArchive:
    """An archive with one suite."""
    archive = MadeArchive()
    archive.add_suite(suite or MadeSuite("bookworm"), [BASH, DASH], key)
    return archive


def read(
    network: PretendedNetwork,
    key: MadeKey,
    directory: Path,
    *,
    suites: tuple[str, ...] = ("bookworm",),
    architecture: str = "amd64",
    mirrors: tuple[str, ...] = (ADDRESS,),
    now: datetime = NOW,
) -> ReleaseMetadata:
    archive = Archive(mirrors, PackageMirror(directory, network), key.keyring)
    return read_release(archive, "bookworm", suites, architecture, now)


def test_a_stable_release_has_three_suites() -> None:
    assert suites_of("bookworm") == ("bookworm", "bookworm-updates", "bookworm-security")


def test_the_packages_of_a_suite_are_read(archive_key: MadeKey, tmp_path: Path) -> None:
    archive = made(archive_key)
    metadata = read(archive.network(), archive_key, tmp_path)
    package = metadata.index.package("bash")
    assert package is not None
    assert (package.version, package.archive, package.path) == ("5.2-1", ADDRESS, BASH.filename)
    assert metadata.index.package("dash") is not None
    assert metadata.release == "bookworm"


def test_the_facts_of_a_suite_name_files_that_the_mirror_keeps(archive_key: MadeKey, tmp_path: Path) -> None:
    archive = made(archive_key)
    (facts,) = read(archive.network(), archive_key, tmp_path).suites
    assert (facts.suite, facts.version, facts.date) == ("bookworm", "12.1", NOW - timedelta(days=1))
    store = PackageMirror(tmp_path)
    assert store.place(facts.in_release).read_bytes() == archive.files["dists/bookworm/InRelease"]
    assert store.place(facts.packages).read_bytes() == archive.files[f"dists/bookworm/{INDEX}"]


def test_updates_come_from_the_mirror_that_has_them(archive_key: MadeKey, tmp_path: Path) -> None:
    security = MadeArchive()
    fixed = MadePackage("bash", "5.2-1+deb12u1")
    security.add_suite(MadeSuite("bookworm-security", "stable-security"), [fixed], archive_key)
    network = made(archive_key).network()
    network.pages |= security.network(SECURITY).pages
    metadata = read(
        network, archive_key, tmp_path, suites=("bookworm", "bookworm-security"), mirrors=(ADDRESS, SECURITY)
    )
    package = metadata.index.package("bash")
    assert package is not None
    assert (package.version, package.archive) == ("5.2-1+deb12u1", SECURITY)
    assert [fact.suite for fact in metadata.suites] == ["bookworm", "bookworm-security"]


def test_a_release_without_its_security_updates_is_not_used(archive_key: MadeKey, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="bookworm-security"):
        read(made(archive_key).network(), archive_key, tmp_path, suites=("bookworm", "bookworm-security"))


def test_without_a_mirror_the_option_is_named(archive_key: MadeKey, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="no mirror is known") as raised:
        read(PretendedNetwork(), archive_key, tmp_path, mirrors=())
    assert "--debian-mirror" in raised.value.hint


def test_an_index_is_fetched_by_its_digest_so_that_a_changing_mirror_fits(archive_key: MadeKey, tmp_path: Path) -> None:
    network = made(archive_key).network()
    network.pages[f"{ADDRESS}/dists/bookworm/{INDEX}"] = b"of the next update"
    assert read(network, archive_key, tmp_path).index.package("bash") is not None


def test_a_mirror_without_indices_by_digest_will_do(archive_key: MadeKey, tmp_path: Path) -> None:
    network = made(archive_key).network()
    network.pages = {url: body for url, body in network.pages.items() if "by-hash" not in url}
    assert read(network, archive_key, tmp_path).index.package("bash") is not None


def test_an_index_that_is_there_is_not_fetched_again(archive_key: MadeKey, tmp_path: Path) -> None:
    network = made(archive_key).network()
    read(network, archive_key, tmp_path)
    network.asked.clear()
    read(network, archive_key, tmp_path)
    assert network.asked == [f"{ADDRESS}/dists/bookworm/InRelease"]


def test_an_expired_release_is_refused(archive_key: MadeKey, tmp_path: Path) -> None:
    with pytest.raises(TrustError, match="good until"):
        read(made(archive_key).network(), archive_key, tmp_path, now=NOW + timedelta(days=7))


def test_a_release_from_the_future_is_refused(archive_key: MadeKey, tmp_path: Path) -> None:
    with pytest.raises(TrustError, match="yet to come"):
        read(made(archive_key).network(), archive_key, tmp_path, now=NOW - timedelta(days=2))


def test_an_unsigned_release_is_refused(archive_key: MadeKey, tmp_path: Path) -> None:
    archive = MadeArchive()
    archive.add_suite(MadeSuite("bookworm"), [BASH])
    with pytest.raises(TrustError, match="no signature"):
        read(archive.network(), archive_key, tmp_path)


def test_a_release_signed_by_another_key_is_refused(archive_key: MadeKey, foreign_key: MadeKey, tmp_path: Path) -> None:
    with pytest.raises(TrustError, match="not in"):
        read(made(foreign_key).network(), archive_key, tmp_path)


def test_a_release_changed_after_it_was_signed_is_refused(archive_key: MadeKey, tmp_path: Path) -> None:
    archive = made(archive_key)
    name = "dists/bookworm/InRelease"
    index = archive.files[f"dists/bookworm/{INDEX}"]
    planted = compressed(index_text([MadePackage("bash", "9")]).encode(), ".xz")
    archive.files[name] = archive.files[name].replace(digest_of(index).encode(), digest_of(planted).encode())
    archive.files[f"dists/bookworm/{INDEX}"] = planted
    with pytest.raises(TrustError, match="changed"):
        read(archive.network(), archive_key, tmp_path)


def test_a_refused_release_leaves_nothing_in_the_mirror(
    foreign_key: MadeKey, archive_key: MadeKey, tmp_path: Path
) -> None:
    with pytest.raises(TrustError):
        read(made(foreign_key).network(), archive_key, tmp_path)
    assert list(tmp_path.rglob("*")) == []


def test_another_suite_in_the_place_of_one_is_refused(archive_key: MadeKey, tmp_path: Path) -> None:
    # Signed by the right key, but the old main suite in the place of the security updates hides these.
    archive = made(archive_key)
    old = {path.replace("/bookworm/", "/bookworm-security/"): data for path, data in archive.files.items()}
    archive.files |= old
    with pytest.raises(InvalidValue, match="not of bookworm-security"):
        read(archive.network(), archive_key, tmp_path, suites=("bookworm", "bookworm-security"))


def test_a_suite_may_be_asked_for_by_its_other_name(archive_key: MadeKey, tmp_path: Path) -> None:
    archive = made(archive_key, suite=MadeSuite("stable", codename="bookworm"))
    assert read(archive.network(), archive_key, tmp_path, suites=("stable",)).index.package("bash") is not None


def test_an_index_with_a_wrong_digest_is_refused(archive_key: MadeKey, tmp_path: Path) -> None:
    archive = made(archive_key)
    planted = compressed(index_text([MadePackage("bash", "9")]).encode(), ".xz")
    for path in archive.files:
        if "Packages.xz" in path or "by-hash" in path:
            archive.files[path] = planted
    with pytest.raises(IntegrityError, match="the index of bookworm"):
        read(archive.network(), archive_key, tmp_path)
    assert hashlib.sha256(planted).hexdigest() not in {path.name for path in tmp_path.rglob("*")}


GZ = INDEX.removesuffix(".xz") + ".gz"


def without(files: dict[str, bytes], *parts: str) -> dict[str, bytes]:
    """The pages whose addresses have none of `parts` in them."""
    return {url: body for url, body in files.items() if not any(part in url for part in parts)}


def in_two_forms(key: MadeKey, *packages: MadePackage) -> MadeArchive:
    archive = MadeArchive()
    archive.add_suite(MadeSuite("bookworm"), packages or [BASH, DASH], key, compressions=(".xz", ".gz", ".bz2"))
    return archive


def test_a_stale_index_is_read_in_another_compression(archive_key: MadeKey, tmp_path: Path) -> None:
    archive = in_two_forms(archive_key)
    digest = digest_of(archive.files[f"dists/bookworm/{INDEX}"])
    network = archive.network()
    network.pages = without(network.pages, f"by-hash/SHA256/{digest}")
    network.pages[f"{ADDRESS}/dists/bookworm/{INDEX}"] = compressed(b"of yesterday", ".xz")
    metadata = read(network, archive_key, tmp_path)
    assert metadata.index.package("bash") is not None
    assert metadata.suites[0].packages == digest_of(archive.files[f"dists/bookworm/{GZ}"])
    # It is in the store now, so nothing is asked for again.
    network.asked.clear()
    read(network, archive_key, tmp_path)
    assert network.asked == [f"{ADDRESS}/dists/bookworm/InRelease"]


@pytest.mark.parametrize("suffix", [".bz2", ""])
def test_any_form_of_an_index_will_do(archive_key: MadeKey, tmp_path: Path, suffix: str) -> None:
    archive = in_two_forms(archive_key)
    plain = index_text([BASH, DASH]).encode()
    form = "Packages" + suffix
    archive.files = without(archive.files, "Packages", "by-hash")
    archive.files[f"dists/bookworm/main/binary-amd64/{form}"] = compressed(plain, suffix)
    assert read(archive.network(), archive_key, tmp_path).index.package("bash") is not None


def test_a_mirror_with_a_stale_index_is_helped_by_another_one_that_has_it(archive_key: MadeKey, tmp_path: Path) -> None:
    archive = in_two_forms(archive_key)
    network = archive.network()
    network.pages = without(network.pages, "Packages", "by-hash")
    network.pages |= without(archive.network(SECURITY).pages, "InRelease")
    metadata = read(network, archive_key, tmp_path, mirrors=(ADDRESS, SECURITY))
    package = metadata.index.package("bash")
    assert package is not None
    assert package.archive == ADDRESS


def test_a_mirror_with_a_stale_index_gives_way_to_another_one(archive_key: MadeKey, tmp_path: Path) -> None:
    older = in_two_forms(archive_key, MadePackage("bash", "5.1-1"))
    network = in_two_forms(archive_key).network()
    network.pages = without(network.pages, "Packages", "by-hash") | older.network(SECURITY).pages
    package = read(network, archive_key, tmp_path, mirrors=(ADDRESS, SECURITY)).index.package("bash")
    assert package is not None
    assert (package.archive, package.version) == (SECURITY, "5.1-1")


def test_a_mirror_that_nobody_may_trust_gives_way_to_another_one(
    archive_key: MadeKey, foreign_key: MadeKey, tmp_path: Path
) -> None:
    network = made(archive_key).network()
    network.pages |= made(foreign_key).network(SECURITY).pages
    package = read(network, archive_key, tmp_path, mirrors=(SECURITY, ADDRESS)).index.package("bash")
    assert package is not None
    assert package.archive == ADDRESS


def test_an_index_that_is_stale_everywhere_is_told_with_its_digest(archive_key: MadeKey, tmp_path: Path) -> None:
    network = in_two_forms(archive_key).network()
    stale = {url: b"of yesterday" for url in network.pages if "Packages" in url}
    network.pages = without(network.pages, "by-hash") | stale
    with pytest.raises(IntegrityError, match=r"the index of bookworm is damaged: .*has another SHA-256") as raised:
        read(network, archive_key, tmp_path)
    assert "another mirror" in raised.value.hint


def test_an_index_that_no_mirror_has_is_told(archive_key: MadeKey, tmp_path: Path) -> None:
    network = made(archive_key).network()
    network.pages = {url: body for url, body in network.pages.items() if url.endswith("InRelease")}
    with pytest.raises(NetworkError):
        read(network, archive_key, tmp_path)


@pytest.mark.parametrize(
    "data", [b"", b"rubbish", lzma.compress(b"Package: a\n")[:-5]], ids=["empty", "rubbish", "cut"]
)
def test_an_index_that_is_no_xz_data_is_told(archive_key: MadeKey, tmp_path: Path, data: bytes) -> None:
    archive = MadeArchive()
    archive.files["dists/bookworm/InRelease"] = signed(MadeSuite("bookworm").release({INDEX: data}), archive_key)
    archive.files[f"dists/bookworm/{INDEX}"] = data
    with pytest.raises(IntegrityError, match="no xz data"):
        read(archive.network(), archive_key, tmp_path)


def test_an_architecture_that_a_release_does_not_have_is_told(archive_key: MadeKey, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"the architecture riscv64 is not in bookworm, which has amd64"):
        read(made(archive_key).network(), archive_key, tmp_path, architecture="riscv64")


def test_packages_of_another_architecture_are_not_there(archive_key: MadeKey, tmp_path: Path) -> None:
    archive = MadeArchive()
    arm = MadePackage("bash", "5.2-1+b2", architecture="arm64")
    archive.add_suite(MadeSuite("bookworm", architectures=("amd64", "arm64")), [BASH, arm, DASH], archive_key)
    for architecture, version in (("amd64", "5.2-1"), ("arm64", "5.2-1+b2")):
        index = read(archive.network(), archive_key, tmp_path, architecture=architecture).index
        assert [one.version for one in index.versions("bash")] == [version]
        assert index.package("dash") is not None


def test_a_release_is_read_from_a_real_server(archive_key: MadeKey, tmp_path: Path) -> None:
    archive = MadeArchive()
    today = datetime.now(UTC)
    suite = MadeSuite("bookworm", date=today - timedelta(days=1), valid_until=today + timedelta(days=1))
    archive.add_suite(suite, [BASH], archive_key)
    with serving(archive.site()) as url:
        store = PackageMirror(tmp_path, Downloads(tmp_path / PARTIAL))
        metadata = read_release(Archive((url,), store, archive_key.keyring), "bookworm", ("bookworm",), "amd64", today)
        package = metadata.index.package("bash")
        assert package is not None
        place = store.fetch(package.sha256, [f"{package.archive}/{package.path}"], "bash")
    assert place.read_bytes() == BASH.data
