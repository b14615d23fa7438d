"""What a real shell makes of a file is what we make of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import pytest

from outcrop.client.stock_configuration_files import StockFiles
from outcrop.cvmfs.client_configuration_shell import Run, Variable

pytestmark = pytest.mark.property

NAMES = ("A", "B", "C")
NUMBERS = {"N": "7", "M": "-3", "Z": "0"}
SHELLS = [shell for shell in ("/bin/sh", "/bin/bash") if shutil.which(shell)]


def joined(strategy: st.SearchStrategy[str], most: int = 4, least: int = 0) -> st.SearchStrategy[str]:
    return st.lists(strategy, min_size=least, max_size=most).map("".join)


names = st.sampled_from(NAMES)
plain = st.text("abz09/:.,_-@%+=", min_size=1, max_size=6)
escaped = st.sampled_from(" $\"'`;#&|()<>*?[]~!{}=\\").map(lambda character: "\\" + character)
single = st.text('ab 09$`"\\;#&|()<>*?[]~!{}=\n\t', max_size=6).map(lambda text: f"'{text}'")
numbers = st.one_of(st.integers(0, 99).map(str), st.sampled_from([*NUMBERS, "$N", "${M}"]))


def sums(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(["+", "-", "*", "<", "<=", ">", ">=", "==", "!=", "&&", "||"])
    chain = st.tuples(inner, operators, inner).map(lambda parts: f"({' '.join(parts)})")
    # The divisor is never nought.
    division = st.tuples(inner, st.sampled_from(["%", "/"]), st.integers(1, 9)).map(
        lambda parts: f"({parts[0]}) {parts[1]} {parts[2]}"
    )
    return st.one_of(chain, division, inner.map(lambda one: f"-({one})"), inner.map(lambda one: f"!({one})"))


arithmetic = st.recursive(numbers, sums, max_leaves=4).map(lambda text: f"$(({text}))")


def expansions(argument: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operator = st.sampled_from([":-", "-", ":+", "+", ":=", "="])
    return st.one_of(
        names.map(lambda name: f"${{{name}}}"),
        names.map(lambda name: f"${name}"),
        st.tuples(names, operator, argument).map(lambda parts: f"${{{''.join(parts)}}}"),
    )


quoted_text = st.text("ab 09/;#&|()<>*[]~!=\n\t", min_size=1, max_size=6)
quoted_escape = st.sampled_from(["\\$", '\\"', "\\`", "\\\\", "\\a", "\\\n"])
quoted_argument = joined(st.one_of(st.text("ab 09/:", min_size=1, max_size=4), expansions(st.just("q"))), 3)
double = joined(st.one_of(quoted_text, quoted_escape, expansions(quoted_argument), arithmetic)).map('"{}"'.format)
argument = joined(st.one_of(plain, single, double, st.just(" "), expansions(st.just("deep"))), 3)
pieces = st.one_of(plain, escaped, single, double, expansions(argument), arithmetic)
words = joined(pieces)
assignments = st.tuples(names, words).map("=".join)

operands = st.one_of(
    st.sampled_from(['"$A"', '"$B"', '"${C}"', "abc", "''", '"x$A"', "$N", "12", "$A", "$B"]), arithmetic
)
comparisons = st.sampled_from(["=", "!=", "-eq", "-ne", "-lt", "-le", "-gt", "-ge"])
unary = st.sampled_from(["-z", "-n", "-f", "-d", "-e", "-s", "-r", "-x", "-L"])
paths = st.sampled_from(["file", "empty", "directory", "link", "dangling", "nothing", "./program", '""'])
tests = st.one_of(
    st.tuples(operands, comparisons, operands).map(" ".join),
    st.tuples(st.just("!"), operands, comparisons, operands).map(" ".join),
    st.tuples(unary, st.one_of(paths, operands)).map(" ".join),
    st.tuples(st.just("!"), unary, paths).map(" ".join),
    operands,
).map(lambda text: f"[ {text} ]")
simple = st.one_of(
    assignments,
    st.tuples(names, double).map(lambda parts: f"export {parts[0]}={parts[1]}"),
    names.map("unset {}".format),
    words.map(": {}".format),
    st.just("true"),
    st.just("false"),
    st.just(": # a comment ' with \" quotes ` in it"),
    st.tuples(assignments, st.just(" # behind")).map("".join),
)
conditions = st.recursive(
    st.one_of(tests, tests, tests.map("! {}".format), st.sampled_from(["true", "false"])),
    lambda inner: st.tuples(inner, st.sampled_from([" && ", " || "]), inner).map("".join),
    max_leaves=3,
)


def compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    body = st.lists(inner, min_size=1, max_size=3).map("\n".join)
    guarded = st.tuples(conditions, st.sampled_from([" && ", " || "]), assignments).map("".join)
    whole = st.tuples(conditions, body, conditions, body, body).map(
        lambda parts: "if {}; then\n{}\nelif {}\nthen\n{}\nelse {}\nfi".format(*parts)
    )
    short = st.tuples(conditions, body).map(lambda parts: "if {} ;then {}\nfi".format(*parts))
    return st.one_of(guarded, whole, short, body.map("{{ {}\n}}".format))


scripts = st.lists(st.recursive(simple, compound, max_leaves=6), min_size=1, max_size=6).map("\n".join)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with something for every test of files."""
    directory = tmp_path_factory.mktemp("shell")
    (directory / "file").write_text("text\n")
    (directory / "empty").touch()
    (directory / "directory").mkdir()
    (directory / "link").symlink_to("file")
    (directory / "dangling").symlink_to("nowhere")
    (directory / "program").write_text("#!\n")
    (directory / "program").chmod(0o755)
    return directory


def asked_of(shell: str, script: str, place: Path) -> dict[str, str]:
    """The variables after `script`, by a shell of its own that has nothing to hold on to."""
    numbers = "".join(f"{name}={value}\n" for name, value in NUMBERS.items())
    tell = "".join(f'[ -z "${{{name}+x}}" ] || printf \'{name}=%s\\0\' "${name}"\n' for name in NAMES)
    finished = subprocess.run(
        [shell, "-f"],
        input=f"{numbers}{script}\n{tell}".encode(),
        cwd=place,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        capture_output=True,
        check=True,
        timeout=20,
    )
    pairs = [item.partition("=") for item in finished.stdout.decode().split("\0") if item]
    return {name: value for name, _, value in pairs}


def our_answer(script: str, place: Path) -> dict[str, str]:
    variables = {name: Variable(value) for name, value in NUMBERS.items()}
    run = Run(str(place / "script"), variables, StockFiles(place), 1, strict=True)
    run.read(script)
    return {name: variable.value for name, variable in run.variables.items() if name in NAMES}


@pytest.mark.parametrize("shell", SHELLS)
@hypothesis.given(script=scripts)
@hypothesis.settings(max_examples=150, deadline=None)
def test_shell_agrees(place: Path, shell: str, script: str) -> None:
    assert our_answer(script, place) == asked_of(shell, script, place)


FIXED = [
    "A=\"a\\\nb\" B=c\\\nd C='x\\\ny'",
    "A=1; B=$A$A; C=${B}2",
    "A='it'\\''s'",
    "A=a#b B=c # comment",
    'A="${B:-"in ner"}" C=${A:+"$A"}',
    "A=${B:='set here'} C=$B",
    'A="$N$$x" ; A=',
    "readonly A=1 B=2\nexport C",
    'if [ "x$A" = x ] ;then B=1 ;fi;C=2',
    "A=$((7 % 2))$((-7 / 2))$((010 + 1))",
    "A=$((N > 3 && M < 0))",
    '[ -n "$A" -o 1 -eq 1 ] && B=yes',
    '[ -z "$A" -a ! -f nothing ] && B=yes',
    "[ \\( a = b \\) -o c = c ] && A=yes",
    "if test -f file; then A=1; else A=2; fi",
    "if grep -q te.t file && ! grep -q 'x\\|y' file; then A=found; fi",
    "if grep -qE 'a|te' file 2>/dev/null; then A=found; fi",
    "if grep -Fq 'te.t' file >/dev/null 2>&1; then A=found; fi",
    "if ! grep -qs x nothing; then A=no; fi",
    "eval A=1; eval 'B=$A'",
    "A='*' ; B=\"$A\"; C=$A",
    "A=' a  b '; [ x$A = x ] || B=1",
    "[ -z $A ] && B=unset; [ -n $A ] && C=odd",
    "A=1 B=2\n\n;C=3".replace("\n\n;", "\n\n"),
    "{ A=1; B=2; }; { C=3\n}",
    ". ./file 2>/dev/null || true".replace(". ./file 2>/dev/null || true", "true || A=1"),
]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("script", FIXED)
def test_shell_agrees_on_what_real_files_have(place: Path, shell: str, script: str) -> None:
    assert our_answer(script, place) == asked_of(shell, script, place)
