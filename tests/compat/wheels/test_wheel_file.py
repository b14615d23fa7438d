"""A wheel is read, and one that breaks a rule is refused."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from outcrop.compat.wheels import wheel_file
from outcrop.compat.wheels.wheel_file import WheelFacts, open_wheel, read_wheel
from outcrop.errors import FormatError, StorageError
from tests.compat.wheels.wheels_made_here import MadeWheel, record_row


def entry(path: str, mode: int = 0o100644) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo("x")
    made.filename = path  # a ZipInfo changes what it is made with
    made.external_attr = mode << 16
    return made


def refusal(directory: Path, made: MadeWheel) -> str:
    with pytest.raises(FormatError) as raised:
        read_wheel(made.put(directory), made.file)
    assert made.file in raised.value.message
    return raised.value.message


def test_a_wheel_says_what_it_needs(tmp_path: Path) -> None:
    made = MadeWheel(
        fields=["Requires-Python: >=3.9", "Requires-Dist: rich>=13", 'Requires-Dist: x; extra == "y"', "License: MIT"]
    )
    assert read_wheel(made.put(tmp_path), made.file) == WheelFacts(">=3.9", ("rich>=13", 'x; extra == "y"'), ("MIT",))


@pytest.mark.parametrize(
    ("fields", "licences"),
    [
        (["License-Expression: MIT OR Apache-2.0", "License: other"], ("MIT OR Apache-2.0",)),
        (
            ["License: a text\n        of two lines", "Classifier: License :: OSI Approved :: MIT License"],
            ("MIT License",),
        ),
        (["Classifier: Programming Language :: Python"], ()),
    ],
)
def test_licences_are_those_of_the_metadata(tmp_path: Path, fields: list[str], licences: tuple[str, ...]) -> None:
    made = MadeWheel(fields=fields)
    assert read_wheel(made.put(tmp_path), made.file).licences == licences


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../up.py", "thing/../../up.py", "thing//x.py", "./x.py", "thing\\..\\x.py", "a/./b"]
)
def test_a_path_that_leaves_its_place_is_refused(tmp_path: Path, path: str) -> None:
    assert "leaves its place" in refusal(tmp_path, MadeWheel(entries=[(entry(path), b"")]))


def test_a_link_is_refused(tmp_path: Path) -> None:
    made = MadeWheel(entries=[(entry("thing/link", stat.S_IFLNK | 0o777), b"/etc/passwd")])
    assert "the path 'thing/link' is a link" in refusal(tmp_path, made)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    made = MadeWheel(entries=[(entry("thing/__init__.py"), b"other")])
    assert "the path 'thing/__init__.py' is there twice" in refusal(tmp_path, made)


@pytest.mark.parametrize("path", ["thing/__pycache__/a.cpython-311.pyc", "thing/__pycache__/x", "thing/a.pyc"])
def test_compiled_code_is_refused(tmp_path: Path, path: str) -> None:
    assert "is compiled code" in refusal(tmp_path, MadeWheel(entries=[(entry(path), b"")]))


def test_what_unpacks_to_more_than_a_layer_holds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = MadeWheel(files={"thing/zeros": bytes(200_000)})
    assert len(made.data) < 2_000
    read_wheel(made.put(tmp_path), made.file)
    monkeypatch.setattr(wheel_file, "MAXIMUM_BYTES", 200_000)
    assert "at most 200,000 are accepted" in refusal(tmp_path, made)


ROW = record_row("thing/__init__.py", b"def main():\n    pass\n")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (record_row("thing/more.py", b""), "thing/__init__.py is not mentioned in RECORD"),
        (record_row("thing/__init__.py", b"other"), "didn't match RECORD"),
        (ROW.rpartition(",")[0] + ",3", "didn't match RECORD"),
        ("thing/__init__.py,,", "hash / size of thing/__init__.py is not included in RECORD"),
        ("thing/__init__.py,sha256,20", "does not follow the required format"),
        ("thing/__init__.py,rot13=abc,20", "invalid hash algorithm"),
        ("thing/__init__.py", "expected 3 elements"),
        (record_row("thing/__init__.py", b"def main():\n    pass\n", "md5"), "has a digest that proves nothing (md5)"),
        (f"{ROW}\n{ROW}", "is in RECORD twice"),
        (f"{ROW}\n{record_row('thing/more.py', b'')}", "the path 'thing/more.py' is in RECORD, and not in the archive"),
    ],
)
def test_a_record_that_is_wrong_is_refused(tmp_path: Path, row: str, problem: str) -> None:
    assert problem in refusal(tmp_path, MadeWheel(changed=lambda text: text.replace(ROW, row)))


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n", "METADATA is of other 1.0"),
        ("Metadata-Version: 2.1\nName: thing\nVersion: 2.0\n", "METADATA is of thing 2.0"),
        ("rubbish", "METADATA is of"),
    ],
)
def test_metadata_of_another_distribution_are_refused(tmp_path: Path, metadata: str, problem: str) -> None:
    assert problem in refusal(tmp_path, MadeWheel(metadata=metadata))


def test_a_name_that_is_written_otherwise_is_the_same(tmp_path: Path) -> None:
    made = MadeWheel(name="a_thing", metadata="Metadata-Version: 2.1\nName: A.Thing\nVersion: 1.0.0\n")
    read_wheel(made.put(tmp_path), made.file)


def test_another_directory_of_metadata_is_refused(tmp_path: Path) -> None:
    made = MadeWheel(entries=[(entry("other-1.0.dist-info/METADATA"), b"")])
    assert "exactly one .dist-info directory" in refusal(tmp_path, made)


@pytest.mark.parametrize("cut", [0, 1, 10, -1])
def test_rubbish_is_refused(tmp_path: Path, cut: int) -> None:
    (tmp_path / "rubbish").write_bytes(MadeWheel().data[:cut])
    with pytest.raises(FormatError, match=r"thing-1\.0-py3-none-any\.whl"):
        read_wheel(tmp_path / "rubbish", "thing-1.0-py3-none-any.whl")


def test_a_byte_that_has_changed_is_found_or_means_nothing(tmp_path: Path) -> None:
    made = MadeWheel(fields=["License: MIT"])
    data, path = made.data, tmp_path / "changed"
    facts = read_wheel(made.put(tmp_path), made.file)
    refused = 0
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x41]) + data[place + 1 :])
        try:
            assert read_wheel(path, made.file) == facts
        except FormatError:
            refused += 1
    assert refused > len(data) // 2


def test_a_wheel_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nothing"), open_wheel(tmp_path / "nothing", MadeWheel().file):
        pass
