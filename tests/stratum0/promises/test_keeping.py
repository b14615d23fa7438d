"""Promises to users: what a change may do to published paths, what needs a reason, and what no reason excuses."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import date

import pytest

from outcrop.cvmfs.catalog_diff import Effect
from outcrop.cvmfs.names import repository_name
from outcrop.cvmfs.notices import NO_NOTICES, Notice, Notices
from outcrop.cvmfs.paths import repository_path
from outcrop.errors import InvalidValue
from outcrop.stratum0.promises.keeping import require_promises_kept
from outcrop.stratum0.promises.policy import NO_PROMISES, Policy
from outcrop.stratum0.publishing.change import PathChange
from tests.stratum0.noticed import GIVEN, DictionaryTree, notice

NOW = GIVEN
TOMORROW, TODAY = date(2026, 11, 22), date(2026, 11, 21)
POLICY = Policy.parse(
    b'keep = ["/versions/*/software", "/versions/*/init/bash"]\nexcept = ["/**/.lmod/cache"]', "the policy"
)
GCC = "/versions/1/software/gcc"


def published() -> DictionaryTree:
    return DictionaryTree(
        [
            f"{GCC}/bin/gcc",
            "/versions/1/software/.lmod/cache/spiderT.lua",
            "/versions/1/software/.cvmfscatalog",
            "/versions/1/init/bash",
            "/versions/1/compat/usr/bin/ls",
            "/versions/2/software/python/bin/python",
            "/data/set",
        ]
    )


def removed(path: str) -> PathChange:
    return PathChange(repository_path(path), Effect.REMOVED)


def changed(path: str, *, content: bool = True) -> PathChange:
    return PathChange(repository_path(path), Effect.CHANGED, content)


def added(path: str) -> PathChange:
    return PathChange(repository_path(path), Effect.ADDED)


def judge(
    *changes: PathChange,
    before: DictionaryTree | None = None,
    policy: Policy = POLICY,
    notices: Iterable[Notice] = (),
    reason: str = "",
) -> None:
    require_promises_kept(
        before or published(),
        changes,
        policy,
        Notices(notices),
        repository=repository_name("test.example.org"),
        reason=reason,
        now=NOW,
    )


ALLOWED = {
    "nothing": [],
    "what is added to promised paths": [added(f"{GCC}/bin/g++"), added("/versions/3/software/new")],
    "other attributes of a promised file": [changed(f"{GCC}/bin/gcc", content=False)],
    "other attributes of a promised directory": [changed(GCC, content=False)],
    "other content where nothing is promised": [changed("/versions/1/compat/usr/bin/ls"), changed("/data/set")],
    "a removal where nothing is promised": [removed("/versions/1/compat"), removed("/data")],
    "upkeep of what is excepted": [
        changed("/versions/1/software/.lmod/cache/spiderT.lua"),
        removed("/versions/1/software/.lmod/cache"),
    ],
    "markers of catalogs that come and go": [
        removed("/versions/1/software/.cvmfscatalog"),
        changed(f"{GCC}/.cvmfsautocatalog"),
    ],
    "the publisher's own notices": [changed("/.outcrop/notices.json"), added("/.outcrop")],
}

REFUSED = {
    "another content of a promised file": ([changed(f"{GCC}/bin/gcc")], f"{GCC}/bin/gcc (other content)"),
    "a promised file removed": ([removed(f"{GCC}/bin/gcc")], f"{GCC}/bin/gcc (removed)"),
    "a promised directory removed": ([removed(GCC)], f"{GCC} (removed)"),
    "the top of what is promised removed": ([removed("/versions/1/software")], "/versions/1/software (removed)"),
    "a directory above it removed": (
        [removed("/versions/1")],
        "/versions/1/init/bash (removed), /versions/1/software (removed)",
    ),
    "a directory far above it removed": ([removed("/versions")], "/versions/2/software (removed)"),
    "a promised file replaced by a directory": (
        [removed("/versions/1/init/bash"), added("/versions/1/init/bash"), added("/versions/1/init/bash/x")],
        "users: /versions/1/init/bash (other content)",
    ),
    "a promised directory replaced by a file": (
        [removed(GCC), added(GCC)],
        f"users: {GCC} (other content)",
    ),
    "a directory above it replaced by a file": (
        [removed("/versions/2"), added("/versions/2")],
        "users: /versions/2/software (removed)",
    ),
    "a promised file that becomes something else": ([changed("/versions/1/init/bash")], "other content"),
    "the directory that holds a cache": ([removed("/versions/1/software/.lmod")], ".lmod (removed)"),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_allowed_without_a_reason(case: str) -> None:
    judge(*ALLOWED[case])


@pytest.mark.parametrize("case", REFUSED)
def test_refused_without_a_reason(case: str) -> None:
    changes, words = REFUSED[case]
    for reason in ("", "  \n"):
        with pytest.raises(InvalidValue, match="breaks what was promised to users") as caught:
            judge(*changes, reason=reason)
        assert words in str(caught.value)
        assert "--reason" in caught.value.hint
        assert "outcrop repo retire test.example.org" in caught.value.hint


@pytest.mark.parametrize("case", REFUSED)
def test_allowed_for_a_reason(case: str) -> None:
    judge(*REFUSED[case][0], reason="a licence forbids it")


@pytest.mark.parametrize("case", REFUSED)
def test_without_a_policy_nothing_needs_a_reason(case: str) -> None:
    judge(*REFUSED[case][0], policy=NO_PROMISES)


def test_first_breaches_are_named_and_the_others_counted() -> None:
    with pytest.raises(InvalidValue, match=r"/0 \(other content\), .*/1 .*, .*/2 .* and 1,997 more$"):
        judge(*(changed(f"{GCC}/{number}") for number in range(2000)))


def test_removal_that_is_told_entry_by_entry_is_one_breach() -> None:
    whole = [removed(path) for path in ("/versions/1/init", "/versions/1/init/bash")]
    with pytest.raises(InvalidValue, match=r"users: /versions/1/init/bash \(removed\)$"):
        judge(*whole)


@pytest.mark.parametrize(
    "changes",
    [
        [removed(GCC), added(GCC)],
        [removed(GCC), removed(f"{GCC}/bin/gcc"), added(GCC)],
        [removed(f"{GCC}/bin/gcc"), removed(GCC)],
    ],
)
def test_path_is_named_and_counted_once(changes: list[PathChange]) -> None:
    with pytest.raises(InvalidValue, match=rf"users: {GCC} \([a-z ]+\)$"):
        judge(*changes)


def test_directory_that_comes_again_for_a_stub_is_held_against_what_it_held() -> None:
    stub = [added("/versions"), added("/versions/2"), added("/versions/2/RETIRED")]
    everything = Policy.parse(b'keep = ["/versions"]', "the policy")
    before = DictionaryTree(["/versions/2/f", "/versions/3/f"])
    with pytest.raises(InvalidValue, match=r"users: /versions/3 \(removed\)$"):
        judge(removed("/versions"), *stub, before=before, policy=everything, notices=[notice("/versions/2", TODAY)])
    judge(
        removed("/versions"),
        *stub,
        before=DictionaryTree(["/versions/2/f"]),
        policy=everything,
        notices=[notice("/versions/2", TODAY)],
    )


def test_only_directories_that_lead_to_promises_are_read() -> None:
    before = published()
    judge(removed("/versions/1/compat"), removed("/data"), before=before)
    assert before.read == []
    with pytest.raises(InvalidValue):
        judge(removed("/versions/1"), before=before)
    assert set(before.read) == {repository_path("/versions/1"), repository_path("/versions/1/init")}


EARLY = {
    "the path itself": removed(GCC),
    "the directory above it": removed("/versions/1"),
    "something below it": removed(f"{GCC}/bin"),
}


@pytest.mark.parametrize("case", EARLY)
@pytest.mark.parametrize("policy", [POLICY, NO_PROMISES], ids=["policy", "no policy"])
def test_before_its_day_nothing_noticed_goes_whatever_the_reason(case: str, policy: Policy) -> None:
    with pytest.raises(InvalidValue, match=r"users were told that .*gcc is there until 2026-11-22") as caught:
        judge(EARLY[case], policy=policy, notices=[notice(GCC, TOMORROW)], reason="a licence forbids it")
    assert f"`outcrop repo retire test.example.org {GCC} --withdraw" in caught.value.hint


def test_before_its_day_what_lies_beside_goes_for_a_reason() -> None:
    judge(removed("/versions/2"), removed("/versions/1/software/gc"), notices=[notice(GCC, TOMORROW)], reason="because")


def test_before_its_day_caches_and_markers_below_come_and_go() -> None:
    pending = notice("/versions/1", TOMORROW)
    judge(
        removed("/versions/1/software/.lmod/cache/spiderT.lua"),
        removed("/versions/1/software/.cvmfscatalog"),
        notices=[pending],
    )


def test_notice_for_what_is_not_there_holds_nothing_back() -> None:
    judge(removed("/data"), notices=[notice("/data/gone", TOMORROW)])


@pytest.mark.parametrize("path", [GCC, f"{GCC}/bin", f"{GCC}/bin/gcc"])
def test_from_its_day_on_it_goes_without_a_reason(path: str) -> None:
    judge(removed(path), notices=[notice(GCC, TODAY)])


def test_from_its_day_on_bytes_still_do_not_change() -> None:
    with pytest.raises(InvalidValue, match="other content"):
        judge(changed(f"{GCC}/bin/gcc"), notices=[notice(GCC, TODAY)])


def test_what_is_due_takes_nothing_else_along() -> None:
    with pytest.raises(
        InvalidValue, match=r"users: /versions/1/init/bash \(removed\), /versions/1/software \(removed\)$"
    ):
        judge(removed("/versions/1"), notices=[notice(GCC, TODAY)])
    judge(removed("/versions/1"), notices=[notice("/versions/1", TODAY)])


def test_directory_goes_if_all_that_is_promised_in_it_is_due() -> None:
    due = [notice("/versions/1/software", TODAY), notice("/versions/1/init", TODAY)]
    judge(removed("/versions/1"), notices=due)


def test_deepest_notice_decides() -> None:
    notices = [notice("/versions/1", TOMORROW), notice(GCC, TODAY)]
    judge(removed(GCC), removed(f"{GCC}/bin"), notices=notices)
    with pytest.raises(InvalidValue, match="/versions/1 is there until"):
        judge(removed("/versions/1/compat"), notices=notices, reason="because")


def test_what_was_carried_out_excuses_nothing_any_more() -> None:
    with pytest.raises(InvalidValue, match="breaks what was promised"):
        judge(removed(GCC), notices=[notice(GCC, TODAY, done=NOW)])


@pytest.mark.parametrize("path", ["/.outcrop", "/.outcrop/notices.json"])
def test_notices_themselves_are_never_removed(path: str) -> None:
    with pytest.raises(InvalidValue, match="cannot be removed"):
        judge(removed(path), policy=NO_PROMISES, reason="because")


def test_many_changes_are_judged_in_no_time() -> None:
    top = "/versions/1/compat/linux/x86_64/usr/share/doc"
    changes = [removed(f"{top}/package{number // 25}/{number}") for number in range(50_000)]
    changes += [added(f"{GCC}/{number // 25}/{number}") for number in range(50_000)]
    notices = [notice(f"/versions/{number}/software", TOMORROW) for number in range(2, 200)]
    started = time.process_time()
    judge(*changes, notices=notices)
    assert time.process_time() - started < 5


def test_no_notices_and_no_changes_cost_nothing() -> None:
    before = published()
    judge(before=before, notices=NO_NOTICES)
    assert before.read == []
