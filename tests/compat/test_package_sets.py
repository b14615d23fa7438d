from __future__ import annotations

import re
from pathlib import Path

import pytest

from outcrop.compat.declared_files import LAYER_FILE, STANDARD_DIRECTORY
from outcrop.compat.family import FAMILIES, family_named, this_family
from outcrop.compat.package_sets import (
    HostLink,
    LayerDescription,
    parse_set,
    read_description,
    require_one_python,
    wanted_names,
    wanted_programs,
    wanted_wheels,
)
from outcrop.errors import FormatError, InvalidValue, NotFound, OutcropError, StorageError

X86, ARM = family_named("x86_64"), family_named("aarch64")

SET = """\
purpose = "a shell"
families = ["x86_64"]
optional = true

[[package]]
name = "bash"
reason = "the shell"
gentoo = "app-shells/bash"
programs = ["bash"]
stands_for = ["Bash"]

[[package]]
name = "7zip"
names = { bookworm = "p7zip-full" }
reason = "unpacks"
families = ["x86_64"]
"""


def described(directory: Path, **files: str) -> LayerDescription:
    """What a stack's directory with `files` describes."""
    for name, text in files.items():
        (directory / f"{name}.toml").write_text(text)
    return read_description(directory)


def minimal(name: str = "bash", **fields: str) -> str:
    further = "".join(f"{key} = {value}\n" for key, value in fields.items())
    return f'purpose = "a purpose"\n{further}[[package]]\nname = "{name}"\nreason = "a reason"\n'


# ---- One set ----


def test_a_set_is_read() -> None:
    found = parse_set(SET, "shells", "shells.toml")
    assert (found.name, found.purpose, found.families, found.optional, found.ships) == (
        "shells",
        "a shell",
        ("x86_64",),
        True,
        True,
    )
    bash, zipper = found.package
    assert (bash.name, bash.reason, bash.programs, bash.stands_for) == ("bash", "the shell", ("bash",), ("Bash",))
    assert (zipper.name_in("bookworm"), zipper.name_in("trixie")) == ("p7zip-full", "7zip")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (SET.replace('["x86_64"]', '["x86-64"]', 1), "x86-64"),
        (SET.replace('families = ["x86_64"]\n', "", 1).replace('["x86_64"]', '["amd64"]'), "amd64"),
        (SET.replace("purpose", "purposes"), "purpose"),
        (SET.replace("optional = true", "optinal = true"), "optinal"),
        (SET.replace("optional = true", 'optional = "yes"'), "optional"),
        (SET.replace("gentoo", "gento"), "gento"),
        (SET.replace('reason = "the shell"\n', ""), "reason"),
        (SET.replace('"the shell"', '""'), "reason of bash"),
        (SET.replace('"the shell"', '" \\t "'), "reason of bash"),
        (SET.replace('name = "bash"\n', ""), "name"),
        (SET.replace('"bash"\nreason', '"Bash"\nreason'), "Bash"),
        (SET.replace('"bash"\nreason', '"b"\nreason'), "name"),
        (SET.replace('"bash"\nreason', '"bash (>= 5)"\nreason'), "bash"),
        (SET.replace('"bash"\nreason', '"../bash"\nreason'), "bash"),
        (SET.replace('"bash"\nreason', '"bash\\n"\nreason'), "bash"),
        (SET.replace("p7zip-full", "P7zip"), "P7zip"),
        (SET.replace("[[package]]", "[package]", 1), "shells"),
        ("purpose = ", "shells"),
        ("", "purpose"),
    ],
)
def test_a_wrong_set_is_told_by_its_file_and_field(text: str, problem: str) -> None:
    with pytest.raises(FormatError, match=re.escape(problem)) as raised:
        parse_set(text, "shells", "shells.toml")
    assert "shells.toml" in raised.value.message


def test_a_set_holds_for_its_families_and_releases() -> None:
    every = parse_set(minimal(), "a", "a")
    some = parse_set(minimal(families='["aarch64"]', releases='["trixie"]'), "a", "a")
    assert every.holds_for(X86, "bookworm")
    assert some.holds_for(ARM, "trixie")
    assert not some.holds_for(X86, "trixie")
    assert not some.holds_for(ARM, "bookworm")


def test_wanted_packages_have_the_names_of_the_release_and_stand_once() -> None:
    first = parse_set(SET.replace('["x86_64"]', "[]", 1), "a", "a")
    second = parse_set(minimal("bash"), "b", "b")
    wanted = wanted_names([first, second], X86, "bookworm")
    assert list(wanted) == ["bash", "p7zip-full"]
    assert wanted["bash"].reason == "the shell"
    assert list(wanted_names([first, second], ARM, "trixie")) == ["bash"]


# ---- Wheels ----

WHEEL = f"""\
purpose = "processors"

[[wheel]]
name = "archspec"
version = "0.2.7"
file = "archspec-0.2.7-py3-none-any.whl"
sha256 = "{"0" * 64}"
reason = "names them"
programs = ["archspec"]
families = ["x86_64"]
"""


def test_a_set_names_wheels() -> None:
    found = parse_set(WHEEL, "python", "python.toml")
    (wheel,) = found.wheel
    assert (wheel.name, wheel.version, wheel.reason) == ("archspec", "0.2.7", "names them")
    assert wanted_wheels([found, found], X86) == {"archspec": wheel}
    assert wanted_wheels([found], ARM) == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (WHEEL.replace("0.2.7-py3", "0.2.6-py3"), "file of archspec is of archspec 0.2.6, not of archspec 0.2.7"),
        (WHEEL.replace('"archspec-', '"other-'), "is of other 0.2.7"),
        (WHEEL.replace('name = "archspec"', 'name = "Archspec"'), "not of Archspec"),
        (WHEEL.replace("py3-none-any.whl", "tar.gz"), "is not the name of a wheel"),
        (WHEEL.replace("py3-none-any", "cp311-cp311-manylinux_2_17_x86_64"), "a layer takes pure-Python wheels only"),
        (WHEEL.replace("0" * 64, "0" * 63), "sha256 of archspec is no SHA-256"),
        (WHEEL.replace('"names them"', '" "'), "reason of archspec is empty"),
        (WHEEL.replace("x86_64", "amd64"), "names amd64"),
        (WHEEL.replace("programs", "program"), "program"),
        (f"ships = false\n{WHEEL}", "there is no use for wheels in building"),
        ('purpose = "nothing"\n', "names neither a package nor a wheel"),
    ],
)
def test_a_wrong_wheel_is_told_by_its_file_and_field(text: str, problem: str) -> None:
    with pytest.raises(FormatError, match=re.escape(problem)) as raised:
        parse_set(text, "python", "python.toml")
    assert "python.toml" in raised.value.message


def test_two_files_of_one_name_are_refused() -> None:
    newer = WHEEL.replace("0.2.7", "0.2.8").replace("0" * 64, "1" * 64)
    sets = [parse_set(text, "python", "python.toml") for text in (WHEEL, newer)]
    with pytest.raises(InvalidValue, match=r"archspec-0\.2\.7-.* and as archspec-0\.2\.8-"):
        wanted_wheels(sets, X86)


def test_what_a_program_answers_is_data() -> None:
    answers = 'answers = { bash = "usage" }\n'
    (part,) = re.findall(r"(?m)^programs = \[.*\]\n", SET)
    named = parse_set(SET.replace(part, part + answers), "a", "a")
    assert wanted_programs([named], X86, "bookworm") == {"bash": "usage"}
    with pytest.raises(FormatError, match=r"a\.toml.* name zsh, not in `programs`"):
        parse_set(SET.replace(part, part + answers.replace("bash", "zsh")), "a", "a.toml")
    with pytest.raises(FormatError, match=r"answers of bash: bash is no regular expression"):
        parse_set(SET.replace(part, part + answers.replace("usage", "(")), "a", "a.toml")


def test_programs_are_those_of_packages_and_wheels() -> None:
    sets = [parse_set(SET, "a", "a"), parse_set(WHEEL, "b", "b")]
    assert wanted_programs(sets, X86, "bookworm") == {"archspec": 0, "bash": 0}
    assert wanted_programs(sets, ARM, "bookworm") == {"bash": 0}


def test_the_standard_layer_has_the_archspec_that_outcrop_is_tested_with() -> None:
    wheel = wanted_wheels(read_description().sets, X86)["archspec"]
    pins = (Path(__file__).parents[2] / "requirements/runtime.txt").read_text()
    pinned = pins.partition("archspec==")[2].partition("==")[0]
    assert pinned.startswith(f"{wheel.version} ")
    assert f"sha256:{wheel.sha256}" in pinned


# ---- One Python ----


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["bash"],
        ["python3", "python3.11", "python3.11-minimal", "python3-minimal", "libpython3.11-stdlib", "python3-yaml"],
        ["python-is-python3", "python3.13"],
        ["pypy3", "pypy3-lib", "python3-yaml"],
    ],
)
def test_one_python_or_none_is_accepted(names: list[str]) -> None:
    require_one_python(names)


@pytest.mark.parametrize(
    "names", [["python3.11", "python3.13"], ["python3.13-minimal", "python3.11"], ["python2.7", "python3.11"]]
)
def test_two_pythons_are_refused(names: list[str]) -> None:
    with pytest.raises(InvalidValue, match=r"bring Python [23]\.\d+ and 3\.\d+"):
        require_one_python(names)


def test_another_implementation_is_another_python() -> None:
    with pytest.raises(InvalidValue, match=r"bring Python 3\.11 and pypy3 into"):
        require_one_python(["pypy3", "pypy3-lib", "python3.11", "python3.11-minimal"])


def test_versions_of_python_are_told_apart_as_numbers() -> None:
    require_one_python(["python3.9", "python3.9-minimal"])
    with pytest.raises(InvalidValue):
        require_one_python(["python3.1", "python3.11"])


# ---- A stack's own directory ----


def test_the_standard_layer_is_for_every_family() -> None:
    description = read_description()
    assert (description.back_end, description.release) == ("debian", "bookworm")
    for family in FAMILIES:
        names = wanted_names(description.sets_for(family), family, description.release)
        assert {"bash", "coreutils", "python3", "lmod"} <= set(names)


def test_a_set_of_the_same_name_replaces_one(tmp_path: Path) -> None:
    description = described(tmp_path, base=minimal("dash"), mine=minimal("zsh"))
    sets = {one.name: one for one in description.sets}
    assert [package.name for package in sets["base"].package] == ["dash"]
    assert "mine" in sets
    assert set(sets) == {one.name for one in read_description().sets} | {"mine"}
    assert [one.name for one in description.sets] == sorted(sets)


def test_single_values_are_changed_and_lists_grow(tmp_path: Path) -> None:
    layer = """
    release = "trixie"
    locales = ["cs_CZ.UTF-8"]
    [[exclude]]
    name = "perl-doc"
    reason = "ours"
    [[together]]
    packages = ["a1", "b1"]
    reason = "ours"
    [[drop]]
    paths = ["opt/**"]
    reason = "ours"
    """
    before, after = read_description(), described(tmp_path, layer=layer)
    assert (after.back_end, after.release, after.locales) == ("debian", "trixie", ("cs_CZ.UTF-8",))
    assert after.trusted_directories == before.trusted_directories
    assert [one.name for one in after.exclusions] == [*(one.name for one in before.exclusions), "perl-doc"]
    assert len(after.together) == len(before.together) + 1
    assert after.dropped().rule_of("opt/x") == "-"
    assert after.dropped().rule_of("usr/share/man/x") == "manual-pages"


def test_a_declared_path_replaces_the_standard_one(tmp_path: Path) -> None:
    layer = """
    [[host]]
    path = "etc/passwd"
    host = "/etc/other"
    reason = "ours"
    [[link]]
    path = "usr/bin/sh"
    target = "bash"
    reason = "ours"
    """
    description = described(tmp_path, layer=layer)
    assert [one.host for one in description.host_links if one.path == "etc/passwd"] == ["/etc/other"]
    assert [one.target for one in description.links if one.path == "usr/bin/sh"] == ["bash"]


def test_a_stack_may_do_without_the_standard_sets(tmp_path: Path) -> None:
    layer = 'standard_sets = false\nback_end = "debian"\nrelease = "trixie"\n'
    description = described(tmp_path, layer=layer, mine=minimal("zsh"))
    assert [one.name for one in description.sets] == ["mine"]
    assert (description.exclusions, description.drops, description.host_links) == ((), (), ())


def test_without_the_standard_sets_the_back_end_has_its_default(tmp_path: Path) -> None:
    description = described(tmp_path, layer="standard_sets = false\n", mine=minimal("zsh"))
    assert (description.back_end, description.release) == ("debian", "")


def test_optional_sets_come_when_they_are_asked_for(tmp_path: Path) -> None:
    layer = "standard_sets = false\n"
    description = described(
        tmp_path,
        layer=layer,
        always=minimal("bash"),
        more=minimal("zsh", optional="true"),
        x86=minimal("elfx86exts", optional="true", families='["x86_64"]'),
    )
    assert [one.name for one in description.sets_for(X86)] == ["always"]
    assert [one.name for one in description.sets_for(X86, ["more", "x86"])] == ["always", "more", "x86"]
    assert [one.name for one in description.sets_for(ARM, ["always", "more", "x86"])] == ["always", "more"]


def test_a_set_that_is_asked_for_and_not_declared_is_told(tmp_path: Path) -> None:
    description = described(tmp_path, layer="standard_sets = false\n", more=minimal(optional="true"))
    with pytest.raises(InvalidValue, match="the set less is not declared") as raised:
        description.sets_for(X86, ["more", "less"])
    assert "more" in raised.value.hint


@pytest.mark.parametrize(
    ("layer", "problem"),
    [
        ("releases = 1", "releases"),
        ("release = 12", "release"),
        ('[[exclude]]\nname = "a"\n', "reason"),
        ('[[drop]]\npaths = "a"\nreason = "b"\n', "paths"),
        ('[[host]]\npath = "/etc/passwd"\nhost = "/etc/passwd"\nreason = "b"\n', "/etc/passwd"),
        ('[[host]]\npath = "etc/../../passwd"\nhost = "/etc/passwd"\nreason = "b"\n', "passwd"),
        ('[[link]]\npath = "/usr/bin/sh"\ntarget = "a"\nreason = "b"\n', "/usr/bin/sh"),
        ('[[link]]\npath = ".."\ntarget = "a"\nreason = "b"\n', ".."),
        ('[[link]]\npath = ""\ntarget = "a"\nreason = "b"\n', "path"),
        ('[[link]]\npath = "."\ntarget = "a"\nreason = "b"\n', "path"),
        ('trusted_directories = ["/lib"]\n', "/lib"),
        ('trusted_directories = ["lib/a", "lib/b", "lib/c", "lib/d"]\n', "trusted_directories"),
        ('standard_sets = false\ntrusted_directories = ["lib/a", "lib/b", "lib/c", "lib/d"]\n', "trusted_directories"),
        ('locales = ["en_US"]\n', "locales"),
        ('trusted_directories = ["lib/../.."]\n', "lib"),
        ('[[host]]\npath = "etc/x"\nhost = "etc/x"\nreason = "r"\n', "not absolute"),
        ('[[host]]\npath = "etc/x"\nhost = "/x"\nreason = "r"\nvariable = "etc x"\n', "no name"),
        ('[[host_path]]\npath = "run/x"\nreason = "r"\n', "no path of a host"),
        ('[[host_path]]\npath = "/"\nreason = "r"\n', "no path of a host"),
        ('[[host_path]]\npath = "/run/../etc"\nreason = "r"\n', "no path of a host"),
        ('[[host_path]]\npath = "/run/x"\nreason = ""\n', "reason"),
        ('[[drop]]\nname = "Manual pages"\npaths = ["a"]\nreason = "b"\n', "Manual pages"),
        ('[[uncompiled]]\npaths = ["a"]\nreason = " "\n', "reason"),
        ('standard_sets = false\nkeep = ["manual-pages"]\n', "manual-pages; there are no standard rules"),
        ('keep = ["manual-page"]\n', "manual-page; the rules are administration, "),
        ("rubbish", "layer.toml"),
    ],
)
def test_a_wrong_layer_is_told_by_its_file_and_field(tmp_path: Path, layer: str, problem: str) -> None:
    with pytest.raises(FormatError, match=re.escape(problem)) as raised:
        described(tmp_path, layer=layer)
    assert str(tmp_path / LAYER_FILE) in raised.value.message
    assert "damaged" not in raised.value.hint


@pytest.mark.parametrize(
    "layer",
    [
        '[[exclude]]\nname = "a1"\nreason = ""\n',
        '[[drop]]\npaths = ["a"]\nreason = " "\n',
        '[[together]]\npackages = ["a1", "b1"]\nreason = ""\n',
        '[[host]]\npath = "etc/a"\nhost = "/etc/a"\nreason = ""\n',
        '[[link]]\npath = "usr/a"\ntarget = "b"\nreason = ""\n',
    ],
)
def test_what_is_declared_without_a_reason_is_refused(tmp_path: Path, layer: str) -> None:
    with pytest.raises(FormatError, match="reason"):
        described(tmp_path, layer=layer)


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(FormatError, match=r"mine\.toml"):
        read_description(tmp_path)


def test_other_files_in_the_directory_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(b"\xff")
    (tmp_path / "base.toml.orig").write_bytes(b"\xff")
    assert read_description(tmp_path) == read_description()


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises((NotFound, StorageError), match="none"):
        read_description(tmp_path / "none")


@pytest.mark.parametrize(
    ("path", "variable"),
    [
        ("etc/passwd", "ETC_PASSWD"),
        ("etc/nsswitch.conf", "ETC_NSSWITCH_CONF"),
        ("etc/ssh/ssh_known_hosts", "ETC_SSH_SSH_KNOWN_HOSTS"),
        ("var/lib/sss", "VAR_LIB_SSS"),
    ],
)
def test_the_variable_of_a_host_s_file_follows_from_its_path(path: str, variable: str) -> None:
    assert HostLink(path, f"/{path}", "a reason").variable_name == variable


# ---- The files that come with Outcrop ----


def test_every_standard_file_has_a_set_and_every_package_one_place() -> None:
    description = read_description()
    files = {path.stem for path in STANDARD_DIRECTORY.glob("*.toml")} - {
        "layer",
        "instructions",
        "libraries",
        "scripts",
    }
    assert {one.name for one in description.sets} == files
    for release in ("bookworm", "trixie"):
        named = [package.name_in(release) for one in description.sets for package in one.package]
        assert sorted(named) == sorted(set(named))


def test_nothing_is_both_wanted_and_left_out_in_the_standard_layer() -> None:
    description = read_description()
    wanted = {package.name_in(description.release) for one in description.sets for package in one.package}
    excluded = [one.name for one in description.exclusions]
    assert wanted.isdisjoint(excluded)
    assert len(excluded) == len(set(excluded))


def test_host_files_of_the_standard_layer_have_variables_of_their_own() -> None:
    links = read_description().host_links
    assert len({link.variable_name for link in links}) == len(links)
    assert all(link.host.startswith("/") for link in links)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("instructions", "programs="),
        ("instructions", '[[chooses]]\npaths = ["usr/bin/a"]\nhow = ""\nriscv64 = ["*"]\n'),
        ("libraries", "[[elsewhere]"),
        ("libraries", '[[elsewhere]]\npaths = ["usr/lib/a"]\nneeds = ["b"]\nreason = " "\n'),
        ("scripts", '[[effect]]\ncommands = ["a"]\n'),
    ],
)
def test_what_is_wrong_in_a_list_for_a_verification_is_told_by_its_path(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(FormatError, match=re.escape(str(tmp_path / f"{name}.toml"))):
        described(tmp_path, **{name: text})


# ---- Families ----


def test_a_family_is_found_by_its_name() -> None:
    assert [family_named(family.name) for family in FAMILIES] == list(FAMILIES)
    with pytest.raises(InvalidValue, match="ppc64le") as raised:
        family_named("ppc64le")
    assert "x86_64" in raised.value.hint


def test_this_machine_has_a_family_or_is_told() -> None:
    try:
        assert this_family() in FAMILIES
    except OutcropError as error:
        assert "is not known" in str(error)  # noqa: PT017
