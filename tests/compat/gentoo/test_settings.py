from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from outcrop.compat.family import FAMILIES, family_named
from outcrop.compat.gentoo.settings import ATOM, GentooSettings, pinned_bootstrap, pinned_snapshot, profile_for
from outcrop.compat.package_sets import LayerDescription, parse_set, read_description
from outcrop.errors import FormatError, InvalidValue

DIGEST = "0" * 64
COMMIT = "0" * 40

WHOLE = f"""\
[gentoo]
mirrors = ["https://mirror.example.org"]
use = ["-X", "unicode"]
variables = {{ MAKEOPTS = "-j4" }}
snapshot = {{ date = "20260615", sha256 = "{DIGEST}" }}
bootstrap = {{ url = "https://example.org/bootstrap-prefix.sh", sha256 = "{DIGEST}" }}
[gentoo.profiles]
x86_64 = "default/linux/amd64/23.0/no-multilib/prefix/kernel-3.2+"
[[gentoo.overlay]]
name = "own"
url = "ssh://git.example.org/overlay.git"
commit = "{COMMIT}"
[[gentoo.package]]
atom = "=sys-auth/munge-0.5*::own"
use = ["-gcrypt", "PYTHON_TARGETS:", "-*", "python3_13"]
keywords = ["~amd64", "**"]
environment = {{ EXTRA_EMAKE = "V=1" }}
families = ["x86_64"]
reason = "one library of ciphers is enough"
"""


def described(directory: Path, text: str, *, standard_sets: bool = False) -> LayerDescription:
    head = f"back_end = 'gentoo-prefix'\nstandard_sets = {str(standard_sets).lower()}\n"
    (directory / "layer.toml").write_text(head + text)
    return read_description(directory)


def test_a_whole_table_is_read(tmp_path: Path) -> None:
    settings = described(tmp_path, WHOLE).gentoo
    assert pinned_snapshot(settings).name == "portage-20260615.tar.xz"
    assert pinned_bootstrap(settings).sha256 == DIGEST
    assert profile_for(settings, family_named("x86_64")).endswith("kernel-3.2+")
    assert [one.name for one in settings.overlay] == ["own"]
    assert len(settings.packages_for(family_named("x86_64"))) == 1
    assert settings.packages_for(family_named("aarch64")) == ()


def test_a_stack_s_table_is_laid_over_the_standard_one(tmp_path: Path) -> None:
    base, settings = read_description().gentoo, described(tmp_path, WHOLE, standard_sets=True).gentoo
    assert settings.mirrors == ("https://mirror.example.org",)
    assert settings.package[: len(base.package)] == base.package
    assert len(settings.package) == len(base.package) + 1
    assert [one.name for one in settings.overlay] == [*(one.name for one in base.overlay), "own"]


def test_an_overlay_of_the_same_name_replaces_one() -> None:
    base = read_description().gentoo
    name = base.overlay[0].name
    own = GentooSettings(overlay=(type(base.overlay[0])(name, "https://example.org/x.git", COMMIT),))
    assert [one.url for one in own.over(base).overlay] == ["https://example.org/x.git"]


def test_the_standard_table_has_a_profile_for_every_family_and_no_snapshot() -> None:
    settings = read_description().gentoo
    for family in FAMILIES:
        assert "/prefix" in profile_for(settings, family)
    assert settings.snapshot is None


@pytest.mark.parametrize(
    ("ask", "missing"),
    [
        (pinned_snapshot, "snapshot"),
        (pinned_bootstrap, "bootstrap script"),
        (lambda settings: profile_for(settings, family_named("riscv64")), "profile for riscv64"),
    ],
)
def test_what_only_a_stack_can_name_is_asked_for(ask: Callable[[GentooSettings], object], missing: str) -> None:
    with pytest.raises(InvalidValue, match=f"the back end gentoo-prefix is given no {missing}"):
        ask(GentooSettings())


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "https://mirror.example.org",
            "mirror.example.org",
            "gentoo.mirrors has 'mirror.example.org', which is not an",
        ),
        ("https://mirror", "https://a b", "which is not an address"),
        ('"-X"', '"-X y"', "gentoo.use has '-X y', which is not a USE flag"),
        ("MAKEOPTS", "make", "gentoo.variables has 'make', which is not the name of a variable"),
        ('"-j4"', "'\"; true'", "gentoo.variables.MAKEOPTS has a quote, a backslash or more than one line"),
        ("20260615", "20260231", "gentoo.snapshot.date has '20260231', which is not a day like 20260615"),
        (f'date = "20260615", sha256 = "{DIGEST}"', f'date = "20260615", sha256 = "{DIGEST}0"', "is not a SHA-256"),
        (f'.sh", sha256 = "{DIGEST}"', '.sh", sha256 = "x"', "gentoo.bootstrap.sha256 has 'x'"),
        ("x86_64 = ", "sparc = ", "gentoo.profiles names sparc, which is not known"),
        ("default/linux/amd64", "../amd64", "which is not a profile"),
        ('name = "own"', 'name = "gentoo"', "gentoo.overlay.name is gentoo, which is the snapshot's"),
        ('name = "own"', 'name = "../own"', "is not the name of a repository"),
        (f'"{COMMIT}"', '"main"', "gentoo.overlay.own.commit has 'main', which is not a commit of 40 digits"),
        ("ssh://", "ext::", "gentoo.overlay.own.url has"),
        ("=sys-auth/munge-0.5*::own", "munge", "gentoo.package.atom has 'munge', which is not an atom"),
        ('"**"', '"Amd64"', "which is not a keyword"),
        ('families = ["x86_64"]', 'families = ["sparc"]', "names sparc, which is not known"),
        ('reason = "one library of ciphers is enough"', 'reason = " "', "reason is empty"),
        ("use = [", "uses = [", "uses"),
        (", sha256", ", md5", "md5"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in WHOLE
    with pytest.raises(FormatError) as refused:
        described(tmp_path, WHOLE.replace(old, new))
    assert said in refused.value.message
    assert "\n" not in refused.value.message
    assert str(tmp_path / "layer.toml") in refused.value.message


@pytest.mark.parametrize(
    "atom",
    [
        "app-shells/bash",
        ">=sys-devel/gcc-15",
        "=app-misc/x-1.2-r3::eessi",
        "dev-lang/python:3.13",
        "*/*",
        "~a/b-1",
        "a/*",
    ],
)
def test_atoms_are_known(atom: str) -> None:
    assert ATOM.fullmatch(atom)


@pytest.mark.parametrize(
    "atom", ["bash", "app-shells/", "/bash", "a/b c", "a/b[x]", "../b", "a/b\n", "!a/b", "@world", ""]
)
def test_what_is_no_atom_is_refused(atom: str) -> None:
    assert not ATOM.fullmatch(atom)


def test_a_set_s_atom_is_checked() -> None:
    text = 'purpose = "x"\n[[package]]\nname = "bash"\nreason = "x"\ngentoo = "bash"\n'
    with pytest.raises(FormatError, match="gentoo of bash 'bash' is not an atom"):
        parse_set(text, "base", "base.toml")
