"""Stock configuration files: what they say, where each value comes from, and what is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import hypothesis
import hypothesis.strategies as st
import pytest

from outcrop.cvmfs.client_configuration import (
    Evaluated,
    Settings,
    Surroundings,
    evaluate,
    evaluate_all,
    is_on,
    is_switch,
    listed,
)
from outcrop.cvmfs.client_configuration_conditions import FileState
from outcrop.cvmfs.names import RepositoryName
from outcrop.errors import FormatError

NAME = RepositoryName("books.example.org")


@dataclass
class Shown:
    """Files in memory, by absolute path."""

    files: Mapping[str, str] = field(default_factory=dict)

    def read(self, path: str) -> bytes | None:
        return self.files[path].encode() if path in self.files else None

    def state(self, path: str) -> FileState | None:
        if path in self.files:
            return FileState(is_file=True, size=len(self.files[path]), executable=path.endswith(".sh"))
        return FileState(is_directory=True) if self.names(path) else None

    def names(self, path: str) -> Sequence[str]:
        return sorted({one[len(path) + 1 :].split("/")[0] for one in self.files if one.startswith(f"{path}/")})


def values(settings: Settings) -> dict[str, str]:
    return {name: setting.value for name, setting in settings.items()}


def read(text: str, files: Mapping[str, str] | None = None, **more: object) -> Evaluated:
    return evaluate(text, "/etc/cvmfs/test.conf", surroundings=Surroundings(Shown(files or {})), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("X=plain", "plain"),
        ("X='single $quoted'", "single $quoted"),
        ('X="double ${Y:-default}"', "double default"),
        ("X=with#hash # comment", "with#hash"),
        ("export X=1", "1"),
        ("readonly X=1", "1"),
        ("eval X=1", "1"),
        ("  X=indented", "indented"),
        (': "${X:=assigned}"', "assigned"),
        ("X=; X=${X:=again}", "again"),
        ("X=; X=${X=again}", ""),
        ("Y=1; X=${Y:+yes}${Z:+no}", "yes"),
        ("Y=; X=${Y+yes}${Y:+no}${Y-no}", "yes"),
        ("X=a\\\nb", "ab"),
        ("if [ -z $Y ] || [ $Y -lt 5 ]; then X=unset; fi", "unset"),
        ("Y=7\nif [ -z $Y ] || [ $Y -lt 5 ]; then X=low; else X=high; fi", "high"),
        ('[ "$Y" = "" ] && X=and', "and"),
        ('[ "$Y" != "" ] || X=or', "or"),
        ("if false; then X=1; elif true; then X=2; else X=3; fi", "2"),
        ("if [ -f /etc/release ] && grep -q 'one\\|two' /etc/release; then X=old; else X=new; fi", "old"),
        ("if [ ! -d /etc/nothing ];then X=none;fi", "none"),
        ("if [ -x /helper.sh ]; then X=helper; fi", "helper"),
        ('if [ "$(($$ % 2))" -eq 0 ]; then X=even; fi', "even"),
        ('if [ "$((RANDOM % 2))" -eq 1 ]; then X=odd; else X=even; fi', "even"),
        ("while read Y; do X=loop; done\nX=${X:-after}", "after"),
        ("for Y in a b; do if true; then X=$Y; fi; done\nX=${X:-after}", "after"),
        ("case $Y in\n a) X=1;;\n *) X=2;;\nesac\nX=${X:-after}", "after"),
        ("set_it() {\n X=function\n}\nset_it\nX=${X:-after}", "after"),
        ("function set_it {\n X=function; { true; }\n}\nX=${X:-after}", "after"),
        ("(X=inside)\nX=${X:-after}", "after"),
        ("X=before\nX=$(date)", "before"),
        ("X=before\nX=`date \\` +%s`", "before"),
        ("X=before\nif [ `hostname` = here ]; then X=1; else X=2; fi", "before"),
        ("X=before\nulimit -c 0", "before"),
        ("X=1 | cat\nX=${X:-after}", "after"),
        ("X=1 &\nX=${X:-after}", "after"),
        ("X=before\nX=~/cache", "before"),
        ("X=before\nX=${Y%%.*}", "before"),
        ("readonly X=first\nX=second", "first"),
        ('X=" two   blanks\t"', "two blanks"),
        ("X=kept\nY=$((1 / 0))", "kept"),
    ],
)
def test_value_is_as_in_a_shell(text: str, value: str) -> None:
    assert read(text, {"/etc/release": "two\n", "/helper.sh": ""}).value("X") == value


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("\nX=$(date)", 2, "the output of a command"),
        ("X=1\nX=`date`", 2, "the output of a command"),
        ("if [ `a` = b ]; then\nX=1\nfi", 1, "the output of a command"),
        ("if true; then\nulimit -c 0\nfi", 2, "the command `ulimit`"),
        ("while true; do\nX=1\ndone", 1, "a `while` loop"),
        ("f() {\n:\n}", 1, "a function"),
        (". nothing.conf", 1, "there is no such file"),
        ("X=1 command", 1, "variables for one command"),
        ("X+=1", 1, "the command `X+=1`"),
        ("[ a -nt b ]", 1, "the test `-nt`"),
        ("[ a = a", 1, "without its `]`"),
        ("grep -P x /etc/x", 1, "`grep` with options"),
        ("X='open", 1, "`'` is missing"),
        ("X=1\nif true; then\nX=2", 2, "`fi` is missing"),
        ("X=1\nfi", 2, "`fi` is not expected here"),
        ("X=1 )", 1, ") is not expected here"),
        ("cat <<END\nEND", 1, "here-document"),
        ("true > /etc/passwd", 1, "a redirection"),
        ("export 1=2", 1, "`export 1=2`"),
        ("echo a | cat", 1, "a pipe"),
        ("X=$1", 1, "the shell's own variable $1"),
        ("if true; then\nfi", 2, "nothing stands before `fi`"),
    ],
)
def test_what_only_a_shell_could_run_is_left_out_or_refused(text: str, line: int, what: str) -> None:
    (warning,) = read(text).warnings
    assert warning.startswith(f"/etc/cvmfs/test.conf:{line}: ")
    assert what in warning
    with pytest.raises(FormatError) as caught:
        read(text, strict=True)
    assert f"/etc/cvmfs/test.conf is malformed: line {line} " in caught.value.message
    assert what in caught.value.message
    assert "edit /etc/cvmfs/test.conf" in caught.value.hint


def test_statements_before_a_mistake_count_and_those_behind_do_not() -> None:
    after = read("X=1\nY=2\nif true; then\nX=3\nZ=4")
    assert values(after.settings) == {"X": "1", "Y": "2"}
    after = read("X=1\nY='open\nZ=4")
    assert values(after.settings) == {"X": "1"}


def test_branch_that_is_not_taken_may_hold_anything() -> None:
    assert read("if false; then X=`date`; ulimit; fi; X=1", strict=True).value("X") == "1"


def test_other_file_is_read_in_and_only_own_names_go_on() -> None:
    files = {"/etc/common.conf": "PROXY=${PROXY:-DIRECT}\nHIDDEN=yes\n"}
    after = read('PROXY="$PROXY"\n. ../common.conf\nif [ "$HIDDEN" = yes ]; then\nSERVER=seen\nfi', files)
    assert values(after.settings) == {"PROXY": "DIRECT", "SERVER": "seen"}
    assert str(after.settings["PROXY"].origin) == "/etc/common.conf:1"
    assert read("source /etc/common.conf\nPROXY=$PROXY", files).value("PROXY") == "DIRECT"


def test_name_in_a_branch_that_is_not_taken_lets_a_value_of_another_file_go_on() -> None:
    files = {"/etc/common.conf": "PROXY=DIRECT\n"}
    assert read(". ../common.conf\nif false; then\n  PROXY=\nfi", files).value("PROXY") == "DIRECT"


def test_file_that_reads_itself_in_comes_to_an_end() -> None:
    after = read("X=1\n. ./test.conf\n. ./test.conf", {"/etc/cvmfs/test.conf": "X=2\n. ./test.conf\n. ./test.conf"})
    assert after.value("X") == "2"
    assert "too many" in after.warnings[-1]


def test_value_that_doubles_again_and_again_comes_to_an_end() -> None:
    after = read("X=0123456789\n" + "X=$X$X\n" * 40)
    assert len(after.value("X")) <= 64 * 1024
    assert "more than" in after.warnings[0]


@pytest.mark.parametrize(
    "text",
    [
        "{ " * 2000,
        "if true; then\n" * 2000,
        "X=" + "${Y:-" * 2000,
        "[ " + "! " * 2000 + "x ]",
        "X=$((" + "-(" * 2000,
        "! " * 5000 + "true",
        "(" * 5000,
        "X=" + '"${Y:-' * 2000,
    ],
)
def test_deep_nesting_is_refused_and_no_crash(text: str) -> None:
    read(text)


@pytest.mark.property
@hypothesis.given(
    st.lists(
        st.one_of(
            st.sampled_from(
                ["if", "then", "fi", "else", "elif", "{", "}", "!", "for", "in", "do", "done", "case", "esac", "[", "]"]
            ),
            st.sampled_from(
                ["X=1", "X=$X$X", "${X:-", "$((", "))", "`", "'", '"', "\\", "&&", "||", "|", ";;", "(", ")"]
            ),
            st.sampled_from(
                ["eval", "test", "grep", "-q", "-f", "export", "readonly", ". ./test.conf", "f()", "<<", ">"]
            ),
            st.text(max_size=3),
        )
    ),
    st.lists(st.sampled_from([" ", "\n", ";", ""]), min_size=1),
)
def test_any_text_comes_to_settings_and_warnings(parts: list[str], gaps: list[str]) -> None:
    text = "".join(part + gaps[at % len(gaps)] for at, part in enumerate(parts))
    after = read(text, {"/etc/cvmfs/test.conf": text})
    assert all(warning.startswith("/etc/cvmfs/test.conf:") for warning in after.warnings)


def test_origin_is_the_last_line_and_what_it_overrode_is_the_last_of_each_earlier_file() -> None:
    first = evaluate("X=1\nX=2", "/a")
    second = evaluate('X=$X;3\nX="$X;4"', "/b", first.settings)
    third = evaluate("Y=1\n\nX=5", "/c", second.settings)
    setting = third.settings["X"]
    assert (setting.value, str(setting.origin)) == ("5", "/c:3")
    assert [(one.value, str(one.origin)) for one in setting.earlier] == [("2;4", "/b:2"), ("2", "/a:2")]


@pytest.mark.parametrize("text", ['X="$X"', "X=${X:-other}", 'X="${X:=other}"', "export X", "if false; then\nX=\nfi"])
def test_handing_a_value_on_keeps_its_origin(text: str) -> None:
    before = evaluate("X=1", "/a")
    assert str(evaluate(text, "/b", before.settings).settings["X"].origin) == "/a:1"


def test_the_same_value_said_again_is_a_new_one() -> None:
    before = evaluate("X=1", "/a")
    setting = evaluate("X=1", "/b", before.settings).settings["X"]
    assert (str(setting.origin), [str(one.origin) for one in setting.earlier]) == ("/b:1", ["/a:1"])


def test_templates_are_filled_in_and_unknown_ones_stay() -> None:
    text = "S='http://h/@fqrn@;http://@org@.x/@domain@' M=me@example.org"
    after = evaluate(text, "/a", repository=NAME)
    assert after.value("S") == "http://h/books.example.org;http://books.x/@domain@"
    assert after.value("M") == "me@example.org"
    assert evaluate("S=@fqrn@", "/a").value("S") == "@fqrn@"


# The order of the files.

ROOT = "/etc/cvmfs"
CONFIG = "/cvmfs/config.example.org/etc/cvmfs"
ORDER = [
    f"{ROOT}/default.conf",
    f"{ROOT}/default.d/10-a.conf",
    f"{ROOT}/default.d/20-b.conf",
    f"{CONFIG}/default.conf",
    f"{ROOT}/default.local",
    f"{CONFIG}/domain.d/example.org.conf",
    f"{ROOT}/domain.d/example.org.conf",
    f"{ROOT}/domain.d/example.org.local",
    f"{CONFIG}/config.d/books.example.org.conf",
    f"{ROOT}/config.d/books.example.org.conf",
    f"{ROOT}/config.d/books.example.org.local",
]


def chain(files: Mapping[str, str], name: str | None = NAME) -> tuple[Evaluated, list[str]]:
    prepared: list[str] = []
    repository = None if name is None else RepositoryName(name)
    return evaluate_all(
        repository, ROOT, Surroundings(Shown(files)), lambda _name, mountpoint: prepared.append(mountpoint)
    ), prepared


def test_later_file_wins_in_the_order_of_the_reference() -> None:
    files = {path: f"X={number}\nL=${{L}}:{number}\n" for number, path in enumerate(ORDER)}
    files[ORDER[1]] += "CVMFS_CONFIG_REPOSITORY=config.example.org\n"
    files[f"{ROOT}/default.d/README"] = "X=none"
    files[f"{ROOT}/config.d/other.example.org.conf"] = "X=none"
    after, prepared = chain(files)
    assert after.value("L") == "".join(f":{number}" for number in range(len(ORDER)))
    assert [one.origin.file for one in (after.settings["X"], *after.settings["X"].earlier)] == ORDER[::-1]
    assert prepared == ["/cvmfs/config.example.org"]


def test_configuration_repository_has_none_of_its_own_and_general_settings_need_none() -> None:
    files = {ORDER[0]: "CVMFS_CONFIG_REPOSITORY=config.example.org", ORDER[3]: "X=repository", ORDER[4]: "Y=local"}
    for name in ("config.example.org", None):
        after, prepared = chain(files, name)
        assert (after.value("X"), after.value("Y"), prepared) == ("", "local", [])


def test_configuration_repository_is_settled_after_the_defaults() -> None:
    files = {
        ORDER[0]: "CVMFS_CONFIG_REPOSITORY=config.example.org",
        ORDER[4]: "CVMFS_CONFIG_REPOSITORY=elsewhere.example.org",
        ORDER[6]: "CVMFS_CONFIG_REPOSITORY=config.example.org",
    }
    after, prepared = chain(files)
    assert after.value("CVMFS_CONFIG_REPOSITORY") == "config.example.org"
    assert prepared == ["/cvmfs/config.example.org"]
    (warning,) = after.warnings
    assert warning.startswith(f"{ORDER[4]}:1: CVMFS_CONFIG_REPOSITORY cannot be changed")


def test_mount_directory_moves_the_configuration_repository() -> None:
    files = {
        ORDER[0]: "CVMFS_MOUNT_DIR=/elsewhere\nCVMFS_CONFIG_REPOSITORY=c.example.org",
        "/elsewhere/c.example.org/etc/cvmfs/default.conf": "X=found",
    }
    assert chain(files)[0].value("X") == "found"


def test_switches_and_lists() -> None:
    assert [is_on(value) for value in ("yes", "ON", "1", "True", "no", "2", "")] == [True] * 4 + [False] * 3
    assert [is_switch(value) for value in ("off", "FALSE", "0", "maybe", "")] == [True] * 3 + [False] * 2
    assert listed(" a ;;b; ", ";") == ("a", "b")
