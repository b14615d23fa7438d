from __future__ import annotations

from pathlib import Path

import pytest

from outcrop.errors import FormatError, NotFound
from outcrop.software.easystack import (
    EasystackItem,
    easybuild_version_in,
    easystack_file_name,
    parse_easystack,
    read_easystack,
)

PATH = Path("easystacks/software.example.org/2026.06/eessi-2026.06-eb-5.4.1-001-system.yml")


def test_names_get_their_suffix_and_options_are_known_by_name() -> None:
    text = """
easyconfigs:
  - seqtk-1.4-GCC-12.2.0
  - lz4-1.9.4-GCCcore-12.2.0.eb:
      options:
        parallel-extensions-install: True
  - bzip2-1.0.8.eb:
"""
    assert parse_easystack(text, PATH).items == (
        EasystackItem("seqtk-1.4-GCC-12.2.0.eb"),
        EasystackItem("lz4-1.9.4-GCCcore-12.2.0.eb", ("parallel-extensions-install",)),
        EasystackItem("bzip2-1.0.8.eb"),
    )


def test_the_file_name_carries_the_version_of_easybuild() -> None:
    assert parse_easystack("easyconfigs: [a.eb]", PATH).easybuild == "5.4.1"
    name = easystack_file_name("eessi", "2026.06", "5.4.1", "GCC-12.2.0")
    assert easybuild_version_in(name) == "5.4.1"
    assert easybuild_version_in("demo.yml") is None


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("- a.eb", "easyconfigs"),
        ("easyconfigs: {a: b}", "easyconfigs"),
        ("easyconfigs: []", "easyconfigs"),
        ("easyconfigs: [a.eb, 7]", "item 2 of easyconfigs"),
        ("easyconfigs: [../a.eb]", "item 1 of easyconfigs"),
        ("easyconfigs: [{a.eb: {option: {}}}]", "item 1 of easyconfigs"),
        ("easyconfigs: [{a.eb: {options: [x]}}]", "item 1 of easyconfigs"),
        ("easyconfigs: [{a.eb: , b.eb: }]", "item 1 of easyconfigs"),
        ("easyconfigs: [", "the YAML"),
    ],
)
def test_a_malformed_easystack_names_what_is_wrong(text: str, field: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_easystack(text, PATH)
    assert caught.value.fields["field"] == field


def test_a_missing_easystack_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"nothing\.yml"):
        read_easystack(tmp_path / "nothing.yml")
