"""Names of repositories and objects, and paths inside a repository."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.cvmfs import paths
from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.names import MAXIMUM_NAME_LENGTH, repository_name
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.errors import FormatError, InvalidValue
from tests.cvmfs import strategies
from tests.cvmfs.refusal import refused

DIGITS = "05cbc765" + "0" * 32


@pytest.mark.property
@given(strategies.object_names)
def test_object_names_and_back(name: ObjectName) -> None:
    assert ObjectName.parse(name.path) == name
    assert str(ObjectName.parse(str(name))) == name.path


@pytest.mark.parametrize(
    ("algorithm", "kind", "path"),
    [
        (Algorithm.SHA1, ObjectKind.FILE, f"data/05/{DIGITS[2:]}"),
        (Algorithm.RMD160, ObjectKind.CATALOG, f"data/05/{DIGITS[2:]}-rmd160C"),
        (Algorithm.SHAKE128, ObjectKind.CHUNK, f"data/05/{DIGITS[2:]}-shake128P"),
    ],
)
def test_order_is_digits_then_tag_then_letter(algorithm: Algorithm, kind: ObjectKind, path: str) -> None:
    assert ObjectName(Digest(algorithm, bytes.fromhex(DIGITS)), kind).path == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "data/",
        ".cvmfspublished",
        f"/data/05/{DIGITS[2:]}",
        f"data/5/{DIGITS[1:]}",
        f"data/{DIGITS}",
        f"data/05/{DIGITS[2:]}T",
        f"data/05/{DIGITS[2:]}c",
        f"data/05/{DIGITS[2:]}C\n",
        f"data/05/{DIGITS[2:]}C-rmd160",
        f"data/05/{DIGITS[2:-1]}",
        f"data/05/{DIGITS[2:].upper()}X"[:-2] + "F",
        f"data/05/../{DIGITS[2:]}",
        "data/txn/1.2.3",
    ],
)
def test_no_other_name_is_an_object(path: str) -> None:
    with refused("form"):
        ObjectName.parse(path)


@pytest.mark.property
@given(st.text(max_size=70))
def test_an_object_name_that_parses_is_the_one_that_is_written(path: str) -> None:
    try:
        name = ObjectName.parse(path)
    except FormatError:
        return
    assert name.path == path


@pytest.mark.property
@given(strategies.repository_names)
def test_repository_names(name: str) -> None:
    assert repository_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "nodot", ".org", "a.", "a..b", "-a.org", "a-.org", "a b.org", "a/b.org", "../a.org", "a.org\n", "ä.org"],
)
def test_no_other_repository_names(name: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        repository_name(name)
    assert caught.value.hint


def test_a_repository_name_has_the_length_of_a_host_name() -> None:
    longest = "a." + "b" * (MAXIMUM_NAME_LENGTH - 2)
    assert repository_name(longest) == longest
    with pytest.raises(InvalidValue):
        repository_name(longest + "b")


def test_path_hashes_are_little_endian_signed() -> None:
    assert paths.path_hash(b"") == (338333539836370388, 9098107892288553193)
    assert paths.parent_hash(b"") == (0, 0)
    assert paths.parent_hash(b"/a") == paths.path_hash(b"")


@pytest.mark.property
@given(strategies.paths, strategies.file_names)
def test_paths_come_apart_as_they_were_joined(directory: bytes, name: bytes) -> None:
    path = paths.join(directory, name)
    assert (paths.parent(path), paths.name(path)) == (directory, name)
    assert paths.is_below(path, directory)
    assert not paths.is_below(directory, path)
    assert paths.ancestors(path) == [*paths.ancestors(directory), directory]
    assert paths.is_canonical(path)


@pytest.mark.property
@given(strategies.paths)
def test_what_people_write_leads_to_the_path(path: bytes) -> None:
    text = path.decode("utf-8", "surrogateescape")
    for spelling in (path, text, text + "/", text.lstrip("/"), f"./{text}//."):
        assert paths.repository_path(spelling) == path
    assert paths.repository_path(paths.shown(path)) == path


@pytest.mark.parametrize("text", ["..", "/a/../b", "a/..", "a\0b", b"\0", b"/../x", "/a\ud800"])
def test_paths_that_lead_nowhere(text: str | bytes) -> None:
    with pytest.raises(InvalidValue) as caught:
        paths.repository_path(text)
    caught.value.message.encode()


@pytest.mark.parametrize("path", [b"a", b"/", b"//", b"/a/", b"/a//b", b"/.", b"/a/..", b"/a\0"])
def test_paths_that_hash_to_nothing_are_not_canonical(path: bytes) -> None:
    assert not paths.is_canonical(path)
