"""Lists inside packages name only what a layer has: where a rule leaves files out, nothing promises them.

- glibc's `gconv-modules` names a file of code for each conversion between character sets: `module FROM TO FILE COST`;
  `alias NAME CHARSET` gives one another name. What `iconv -l` lists comes from there.
- Pygments' `_mapping.py` names the module of each language, one to a line. A language that it does not name is told as
  unknown; one whose module is missing is an error that nobody expects.

Sources: glibc, `iconv/gconv_conf.c`; Pygments, `lexers/__init__.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

_LANGUAGES = "usr/lib/python3/dist-packages/pygments/lexers"
_LANGUAGE = re.compile(r"    '\w+': \('pygments\.lexers\.(\w+)', .*\),")
_INTERNAL = "INTERNAL"


def shorten_lists(tree: Path, triplet: str) -> None:
    """Takes out of the lists of the layer `tree` what is not in it; OSError."""
    conversions = tree / "usr/lib" / triplet / "gconv"
    lists = [conversions / "gconv-modules", *sorted((conversions / "gconv-modules.d").glob("*.conf"))]
    _rewrite(lists, lambda texts: conversions_there(texts, {path.stem for path in conversions.glob("*.so")}))
    languages = tree / _LANGUAGES
    modules = {path.stem for path in languages.glob("*.py")}
    _rewrite([languages / "_mapping.py"], lambda texts: [languages_there(text, modules) for text in texts])


def _rewrite(paths: Iterable[Path], shortened: Callable[[list[str]], list[str]]) -> None:
    there = [path for path in paths if path.is_file()]
    texts = [path.read_text(encoding="utf-8") for path in there]
    for path, old, new in zip(there, texts, shortened(texts), strict=True):
        if new != old:
            path.write_text(new, encoding="utf-8")


def conversions_there(texts: Iterable[str], files: Collection[str]) -> list[str]:
    """The lists `texts` without conversions whose code is in none of `files` (names without `.so`), and without the
    further names of character sets that only these knew."""
    lists = [text.splitlines(keepends=True) for text in texts]
    known, gone = set[str](), set[str]()
    for charsets, file in (fields for lines in lists for fields in _modules(lines)):
        (known if file in files else gone).update(charsets)
    gone -= known

    def stays(line: str) -> bool:
        fields = line.split()
        if fields[:1] == ["module"]:
            return len(fields) < 4 or fields[3] in files
        return not (fields[:1] == ["alias"] and len(fields) > 2 and fields[2] in gone)

    return ["".join(line for line in lines if stays(line)) for lines in lists]


def _modules(lines: Iterable[str]) -> Iterator[tuple[set[str], str]]:
    """The character sets and the file of each conversion."""
    for line in lines:
        fields = line.split()
        if fields[:1] == ["module"] and len(fields) >= 4:
            yield {fields[1], fields[2]} - {_INTERNAL}, fields[3]


def languages_there(text: str, modules: Collection[str]) -> str:
    """The list `text` without languages whose module is none of `modules`."""

    def stays(line: str) -> bool:
        match = _LANGUAGE.match(line)
        return match is None or match[1] in modules

    return "".join(line for line in text.splitlines(keepends=True) if stays(line))
