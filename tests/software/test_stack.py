from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from outcrop.compat.family import FAMILIES, Family
from outcrop.compat.package_sets import read_description, wanted_names
from outcrop.errors import FormatError, NotFound
from outcrop.init.target import Target
from outcrop.software.stack import FILTERED_DEPENDENCIES, FIXED_PATHS, Foreign, find_stack, parse_stack, read_stack

SMALLEST = 'repository = "software.example.org"\nversion = "2026.06"\n'


def test_defaults_are_those_of_eessi() -> None:
    stack = parse_stack(SMALLEST, "stack.toml")
    assert stack.variable_prefix == "EESSI_"
    assert stack.mount_root == PurePosixPath("/cvmfs")
    assert stack.filter_dependencies == FILTERED_DEPENDENCIES


def test_a_stack_has_a_maintainer_if_it_says_so() -> None:
    assert parse_stack(SMALLEST, "stack.toml").maintainer == ""
    assert parse_stack(SMALLEST + 'maintainer = "Ada <ada@example.org>"', "stack.toml").maintainer.startswith("Ada")


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("release", ["bookworm", "trixie"])
def test_what_a_stack_filters_is_what_the_layer_with_compilers_provides(family: Family, release: str) -> None:
    sets = [one for one in read_description().sets_for(family, ["compilers"]) if one.ships]
    provided = {name for package in wanted_names(sets, family, release).values() for name in package.stands_for}
    assert provided == set(FILTERED_DEPENDENCIES)


def test_a_stack_says_what_is_shown_to_builds_and_what_may_be_foreign() -> None:
    plain = parse_stack(SMALLEST, "stack.toml")
    assert (plain.fixed_paths, plain.foreign) == (FIXED_PATHS, ())
    more = 'fixed_paths = ["/bin/sh", "/usr/bin/tclsh"]\n[[foreign]]\npaths = ["a/*/bin/**"]\nreason = "a vendor\'s"\n'
    stack = parse_stack(SMALLEST + more, "stack.toml")
    assert stack.fixed_paths == (PurePosixPath("/bin/sh"), PurePosixPath("/usr/bin/tclsh"))
    assert stack.foreign == (Foreign(("a/*/bin/**",), "a vendor's"),)


def test_the_layout_is_eessis() -> None:
    layout = parse_stack(SMALLEST, "stack.toml").layout(Target.parse("x86_64/intel/haswell"))
    prefix = "/cvmfs/software.example.org/versions/2026.06/software/linux/x86_64/intel/haswell"
    assert str(layout.final) == prefix
    assert str(layout.mount_point / layout.module_file("lz4/1.9.4")) == f"{prefix}/modules/all/lz4/1.9.4.lua"
    assert str(layout.mount_point / layout.installation("lz4/1.9.4")) == f"{prefix}/software/lz4/1.9.4"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('version = "2026.06"', "repository"),
        ('repository = "nodots"\nversion = "2026.06"', "repository"),
        ('repository = "a.example.org"\nversion = "2026.13"', "version"),
        ('repository = "a.example.org"\nversion = "../../etc"', "version"),
        (SMALLEST + 'variable_prefix = "eessi"', "variable_prefix"),
        (SMALLEST + 'mount_root = "cvmfs"', "mount_root"),
        (SMALLEST + 'mount_root = "/cvmfs;id"', "mount_root"),
        (SMALLEST + 'mount_root = "/srv/../etc"', "mount_root"),
        (SMALLEST + 'filter_dependencies = ["a,b"]', "filter_dependencies"),
        (SMALLEST + "filter_dependencies = [1]", "filter_dependencies[0]"),
        (SMALLEST + 'fixed_paths = ["bin/bash"]', "fixed_paths"),
        (SMALLEST + 'fixed_paths = ["/usr/../bin/bash"]', "fixed_paths"),
        (SMALLEST + 'fixed_paths = ["/cvmfs/x"]', "fixed_paths"),
        (SMALLEST + 'fixed_paths = ["/"]', "fixed_paths"),
        (SMALLEST + 'fixed_paths = ["/proc/x"]', "fixed_paths"),
        (SMALLEST + 'fixed_paths = ["/usr/bin/env", "/usr/bin"]', "fixed_paths"),
        (SMALLEST + '[[foreign]]\npaths = ["a/**"]\nreason = " "', "foreign"),
        (SMALLEST + '[[foreign]]\npaths = ["/a/**"]\nreason = "x"', "foreign"),
        (SMALLEST + '[[foreign]]\npaths = []\nreason = "x"', "foreign"),
        (SMALLEST + '[[foreign]]\npaths = ["a/**"]', "foreign[0]"),
        (SMALLEST + "colour = 1", "colour"),
        ("repository =", "the file"),
    ],
)
def test_a_malformed_stack_names_the_field(text: str, field: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_stack(text, "stack.toml")
    assert caught.value.fields["field"] == field


def test_a_stack_is_found_from_its_easystacks(tmp_path: Path) -> None:
    easystacks = tmp_path / "easystacks" / "software.example.org" / "2026.06"
    easystacks.mkdir(parents=True)
    (tmp_path / "stack.toml").write_text(SMALLEST)
    for name in ("b.yml", "a.yml", "notes.txt"):
        (easystacks / name).touch()
    stack = find_stack(easystacks / "a.yml")
    assert stack is not None
    assert [path.name for path in stack.easystacks()] == ["a.yml", "b.yml"]
    assert stack.easyconfig_directory is None


def test_a_directory_without_a_stack_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"stack\.toml"):
        read_stack(tmp_path)
