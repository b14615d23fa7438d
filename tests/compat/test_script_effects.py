from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from outcrop.cli.compat_build import warn_of_refused
from outcrop.cli.console import Console
from outcrop.compat.build import BuiltLayer
from outcrop.compat.debian.scripts import Effect
from outcrop.compat.package_sets import KnownEffect, read_description
from outcrop.compat.script_effects import known_effects, undone
from outcrop.errors import FormatError

LDCONFIG, ADDUSER, LINK = Effect("trigger ldconfig", ""), Effect("adduser", "adduser me"), Effect("ln", "ln -s a b")


def test_what_is_declared_is_not_told() -> None:
    known = [
        KnownEffect(("trigger *",), "done"),
        KnownEffect(("adduser",), "the host's", ("munge", "lib*")),
        KnownEffect(("*",), "looked at", ("base",)),
    ]
    effects = {
        "base": (LDCONFIG, ADDUSER, LINK),
        "munge": (LDCONFIG, ADDUSER),
        "libthing1": (ADDUSER, LINK),
        "other": (LDCONFIG, ADDUSER),
    }
    assert undone(effects, known) == {"libthing1": (LINK,), "other": (ADDUSER,)}
    assert undone(effects, ()) == effects


def test_a_stack_adds_to_what_is_declared(tmp_path: Path) -> None:
    (tmp_path / "scripts.toml").write_text(
        '[[effect]]\npackages = ["thing"]\ncommands = ["adduser"]\nreason = "the host has it"\n'
    )
    own = read_description(tmp_path).effects
    assert own == (KnownEffect(("adduser",), "the host has it", ("thing",)),)
    assert known_effects(own) == (*known_effects(), *own)
    assert read_description().effects == ()


@pytest.mark.parametrize("text", ['[[effect]]\ncommands = ["a"]\nreason = " "\n', "[[effect]]\nreason = 1\n"])
def test_what_is_declared_wrongly_is_refused_by_its_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "scripts.toml").write_text(text)
    with pytest.raises(FormatError, match=r"scripts\.toml"):
        read_description(tmp_path)


def test_a_build_warns_of_what_was_not_done(capsys: pytest.CaptureFixture[str]) -> None:
    built = BuiltLayer(Path("tree"), Path("record"), (), undone={"munge": (ADDUSER, ADDUSER, LINK), "thing": (LINK,)})
    warn_of_refused(Console(), built)
    said = " ".join(capsys.readouterr().err.split())
    assert "scripts of 2 packages would do what is not done: munge (adduser ln), thing (ln); `build.log`" in said
    warn_of_refused(Console(), replace(built, undone={}))
    assert capsys.readouterr().err == ""


def test_what_comes_with_outcrop_leaves_accounts_of_unknown_packages_to_be_told() -> None:
    assert undone({"unknown": (LDCONFIG, ADDUSER)}, known_effects()) == {"unknown": (ADDUSER,)}
