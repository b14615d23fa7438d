"""Lists of packages name what is there, and nothing else."""

from __future__ import annotations

from pathlib import Path

from outcrop.compat.indices import conversions_there, languages_there, shorten_lists

FEW = """\
#	from		to		module	cost
alias	L1//		ISO-8859-1//
module	ISO-8859-1//	INTERNAL	ISO8859-1	1
module	INTERNAL	ISO-8859-1//	ISO8859-1	1
"""
MORE = """\
alias	CP037//		IBM037//
alias	OSF10020025//	IBM037//
module	IBM037//	INTERNAL	IBM037	1
module	INTERNAL	IBM037//	IBM037	1
alias	420//		IBM420//
module	IBM420//	INTERNAL	IBM420	1
module	ISO-8859-1//	IBM420//	BOTH	1
"""
LANGUAGES = """\
LEXERS = {
    'PythonLexer': ('pygments.lexers.python', 'Python', ('python',), ('*.py',), ()),
    'PhpLexer': ('pygments.lexers.php', 'PHP', ('php',), ('*.php',), ()),
}
"""


def test_conversions_without_their_code_go_with_their_other_names() -> None:
    few, more = conversions_there([FEW, MORE], {"ISO8859-1", "BOTH"})
    assert few == FEW
    assert more == "alias\t420//\t\tIBM420//\nmodule\tISO-8859-1//\tIBM420//\tBOTH\t1\n"


def test_lists_of_a_whole_layer_stay_as_they_are() -> None:
    assert conversions_there([FEW, MORE], {"ISO8859-1", "BOTH", "IBM037", "IBM420"}) == [FEW, MORE]
    assert languages_there(LANGUAGES, {"python", "php"}) == LANGUAGES


def test_languages_without_their_module_are_not_named() -> None:
    shortened = languages_there(LANGUAGES, {"python"})
    found: dict[str, dict[str, object]] = {}
    exec(shortened, found)
    assert list(found["LEXERS"]) == ["PythonLexer"]


def test_the_lists_of_a_layer_are_shortened_in_place(tmp_path: Path) -> None:
    conversions = tmp_path / "usr/lib/aarch64-linux-gnu/gconv"
    languages = tmp_path / "usr/lib/python3/dist-packages/pygments/lexers"
    (conversions / "gconv-modules.d").mkdir(parents=True)
    languages.mkdir(parents=True)
    (conversions / "ISO8859-1.so").touch()
    (conversions / "gconv-modules").write_text(FEW)
    (conversions / "gconv-modules.d/extra.conf").write_text(MORE)
    (languages / "python.py").touch()
    (languages / "_mapping.py").write_text(LANGUAGES)
    shorten_lists(tmp_path, "aarch64-linux-gnu")
    assert (conversions / "gconv-modules").read_text() == FEW
    assert (conversions / "gconv-modules.d/extra.conf").read_text() == ""
    assert "php" not in (languages / "_mapping.py").read_text()


def test_a_layer_without_lists_needs_none(tmp_path: Path) -> None:
    shorten_lists(tmp_path, "x86_64-linux-gnu")
