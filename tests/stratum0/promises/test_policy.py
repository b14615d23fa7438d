"""Policies: which paths a pattern speaks of, and what a policy file may say."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outcrop.cvmfs.names import repository_name
from outcrop.cvmfs.paths import ROOT, RepositoryPath, ancestors, repository_path
from outcrop.errors import StorageError
from outcrop.stratum0.promises.policy import EXAMPLE, NO_PROMISES, PathPatterns, Policy, load_policy, policy_path
from tests.cvmfs.refusal import refused

NAME = repository_name("test.example.org")
EESSI = Policy.parse(EXAMPLE.encode(), "the example")

_names = st.sampled_from(["a", "ab", "b", ".a", "a.b"])
_paths = st.lists(_names, max_size=5).map(lambda names: repository_path("/".join(names)))
_parts = st.sampled_from(["a", "ab", "*", "a*", "*b", "*.*", "**"])
_patterns = st.lists(_parts, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))


def slowly_matches(pattern: list[str], names: list[str]) -> bool:
    """The definition, word by word: every way to read the pattern is tried."""
    if not pattern:
        return not names
    if pattern[0] == "**":
        return any(slowly_matches(pattern[1:], names[count:]) for count in range(len(names) + 1))
    return bool(names) and slowly_matches_name(pattern[0], names[0]) and slowly_matches(pattern[1:], names[1:])


def slowly_matches_name(pattern: str, name: str) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(slowly_matches_name(pattern[1:], name[count:]) for count in range(len(name) + 1))
    return name[:1] == pattern[0] and slowly_matches_name(pattern[1:], name[1:])


def slowly_covers(pattern: str, path: RepositoryPath) -> bool:
    """Whether the pattern matches `path` or a directory above it."""
    parts = pattern.split("/")[1:]
    return any(slowly_matches(parts, one.decode().split("/")[1:] if one else []) for one in (*ancestors(path), path))


@pytest.mark.property
@given(st.lists(_patterns, max_size=4), st.lists(_paths, min_size=1, max_size=6))
@example(["/**/a/**/b"], [repository_path("a/a/b/b")])
@example(["/**"], [ROOT])
def test_patterns_speak_of_what_the_definition_says(patterns: list[str], paths: list[RepositoryPath]) -> None:
    compiled = PathPatterns(patterns)
    for path in paths:  # one after the other, since answers of earlier paths are remembered
        covering = compiled.covering(path)
        assert (covering is not None) == any(slowly_covers(one, path) for one in patterns)
        assert covering is None or slowly_covers(covering, path)


@pytest.mark.property
@given(st.lists(_patterns, max_size=3), _paths, _paths)
def test_directory_without_promised_paths_below_is_only_said_to_be_one_if_it_is(
    patterns: list[str], directory: RepositoryPath, below: RepositoryPath
) -> None:
    compiled = PathPatterns(patterns)
    if not compiled.reaches_below(directory):
        assert compiled.covering(RepositoryPath(directory + below)) is None


def test_directory_that_no_pattern_leads_to_need_not_be_read() -> None:
    compiled = PathPatterns(["/versions/*/software"])
    assert compiled.reaches_below(repository_path("/versions/2026.06"))
    assert not compiled.reaches_below(repository_path("/versions/2026.06/compat"))
    assert not compiled.reaches_below(repository_path("/host_injections"))


@pytest.mark.parametrize(
    ("path", "promised"),
    [
        ("/versions/2026.06/software", True),
        ("/versions/2026.06/software/linux/x86_64/zen4/software/GCC/14/bin/gcc", True),
        ("/versions/.hidden/software/x", True),
        ("/versions/2026.06/compat/linux/x86_64/usr", False),
        ("/versions/2026.06/software-old/x", False),
        ("/versions/2026.06", False),
        ("/versions/software/x", False),
        ("/", False),
        ("/versions/2026.06/software/linux/x86_64/zen4/.lmod/cache/spiderT.lua", False),
        ("/versions/2026.06/software/linux/x86_64/zen4/.lmod/lmodrc.lua", True),
        ("/versions/2026.06/software/linux/.cvmfscatalog", False),
        ("/versions/2026.06/software/linux/.cvmfsautocatalog", False),
    ],
)
def test_example_promises_the_software_but_not_its_caches(path: str, promised: bool) -> None:
    assert EESSI.promises(repository_path(path)) is promised
    assert EESSI.standing(repository_path(path)).is_promised is promised


def test_standing_names_the_patterns() -> None:
    standing = EESSI.standing(repository_path("/versions/1/software/.lmod/cache/x"))
    assert (standing.kept_by, standing.excepted_by) == ("/versions/*/software", "/**/.lmod/cache")


def test_own_notices_are_no_promise_even_if_everything_is() -> None:
    policy = Policy.parse(b'keep = ["/**"]', "a policy")
    assert policy.promises(repository_path("/anything"))
    assert not policy.promises(repository_path("/.outcrop/notices.json"))


def test_names_that_are_not_utf8_are_matched_by_their_bytes() -> None:
    patterns = PathPatterns(["/caf*", "/line"])
    assert patterns.covering(RepositoryPath(b"/caf\xe9\xff")) == "/caf*"
    assert patterns.covering(RepositoryPath(b"/caf\n")) == "/caf*"
    assert patterns.covering(RepositoryPath(b"/line\n")) is None


def test_signs_of_regular_expressions_stand_for_themselves() -> None:
    patterns = PathPatterns(["/gtk+.(x)|^y$"])
    assert patterns.covering(repository_path("/gtk+.(x)|^y$")) is not None
    assert patterns.covering(repository_path("/gtkk.x")) is None


def test_without_a_file_nothing_is_promised(tmp_path: Path) -> None:
    assert load_policy(tmp_path, NAME) == NO_PROMISES
    assert not NO_PROMISES.promises(repository_path("/anything"))


def test_policy_lies_beside_the_record(tmp_path: Path) -> None:
    policy_path(tmp_path, NAME).write_text(EXAMPLE)
    assert (tmp_path / "test.example.org.policy").exists()
    assert load_policy(tmp_path, NAME).promises(repository_path("/versions/1/software/x"))


def test_policy_that_cannot_be_read_is_not_taken_for_none(tmp_path: Path) -> None:
    policy_path(tmp_path, NAME).mkdir()
    with pytest.raises(StorageError):
        load_policy(tmp_path, NAME)


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("software", "begin"),
        ("", "begin"),
        ("/soft?are", "?"),
        ("/soft[w]are", "["),
        ("/{a,b}", "{"),
        ("/a\\\\b", "\\"),
        ("/a/", "no name"),
        ("/a//b", "no name"),
        ("/a/../b", "no name"),
        ("/a**", "**"),
        ("/***", "**"),
    ],
)
@pytest.mark.parametrize("key", ["keep", "except"])
def test_text_that_is_no_pattern_is_refused_by_name(key: str, pattern: str, problem: str) -> None:
    text = f'keep = ["/good"]\nexcept = ["{pattern}"]' if key == "except" else f'keep = ["/good", "{pattern}"]'
    with refused(f"{key}: the pattern"):
        Policy.parse(text.encode(), "a policy")
    with pytest.raises(Exception, match="is malformed") as caught:
        Policy.parse(text.encode(), "a policy")
    assert problem in str(caught.value.fields["problem"])  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"keep = [\nexcept", "line 2"),
        (b"keep = '/software'", "keep"),
        (b"keep = [1]", "keep[0]"),
        (b"keep = []\nexpect = []", "expect"),
        (b"except = []", "keep"),
        (b"keep = ['\xff']", "utf-8"),
    ],
)
def test_malformed_policy_is_refused(text: bytes, words: str) -> None:
    with refused("the policy"):
        Policy.parse(text, "a policy")
    with pytest.raises(Exception, match="is malformed") as caught:
        Policy.parse(text, "a policy")
    assert words in str(caught.value)


def test_hundred_thousand_paths_are_judged_in_half_a_second() -> None:
    top = "/versions/2026.06/software/linux/x86_64/zen4/software"
    paths = [RepositoryPath(b"%s/tool%d/%d" % (top.encode(), number // 25, number)) for number in range(100_000)]
    seconds = []
    for _ in range(3):  # the machine may be busy with something else
        policy = Policy.parse(EXAMPLE.encode(), "the example")
        started = time.process_time()
        assert all(policy.promises(path) for path in paths)
        seconds.append(time.process_time() - started)
    assert min(seconds) < 0.5


def test_deepest_path_that_there_can_be_is_judged() -> None:
    assert EESSI.promises(repository_path("/versions/1/software" + "/d" * 2000))
    assert PathPatterns(["/**/x"]).covering(repository_path("/d" * 2000 + "/x")) is not None
