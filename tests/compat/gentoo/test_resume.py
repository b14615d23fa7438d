from __future__ import annotations

from pathlib import Path

import pytest

from outcrop.compat.gentoo.resume import (
    Again,
    BuildState,
    GoingOn,
    Stage,
    begun,
    finished,
    read_state,
    staged,
    where_to_go_on,
    write_state,
)


def stages(**changed: str) -> tuple[Stage, ...]:
    """Two that begin from nothing, two that are done in place, one that takes away what the others need."""
    return staged(
        (name, changed.get(name, ""), again)
        for name, again in (
            ("first", Again.FROM_NOTHING),
            ("second", Again.FROM_NOTHING),
            ("third", Again.IN_PLACE),
            ("fourth", Again.IN_PLACE),
            ("last", Again.LAST),
        )
    )


def after(number: int, *, half: bool = False) -> BuildState:
    """The state of a build that has finished `number` stages, and has begun another one if it is `half` done."""
    state = BuildState()
    for place in range(number):
        state = finished(begun(state, place, stages()[place]), "2026-06-15T00:00:00Z")
    return begun(state, number, stages()[number]) if half else state


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("half", [False, True])
def test_a_build_goes_on_at_the_first_stage_that_is_not_finished(number: int, half: bool) -> None:
    assert where_to_go_on(stages(), after(number, half=half)) == GoingOn(number)


def test_a_build_that_is_finished_does_nothing() -> None:
    assert where_to_go_on(stages(), after(5)) == GoingOn(5)


@pytest.mark.parametrize(
    ("changed", "done", "wanted"),
    [
        ("first", 4, GoingOn(0, anew=True, changed="first")),
        ("second", 4, GoingOn(0, anew=True, changed="second")),
        ("third", 4, GoingOn(2, changed="third")),
        ("fourth", 4, GoingOn(3, changed="fourth")),
        ("fourth", 2, GoingOn(2)),
        ("third", 5, GoingOn(0, anew=True, changed="third")),
        ("last", 5, GoingOn(4, changed="last")),
    ],
)
def test_a_change_begins_again_where_it_goes_in(changed: str, done: int, wanted: GoingOn) -> None:
    assert where_to_go_on(stages(**{changed: "other"}), after(done)) == wanted


def test_a_stage_that_was_begun_with_other_inputs_counts_as_changed() -> None:
    assert where_to_go_on(stages(second="other"), after(1, half=True)) == GoingOn(0, anew=True, changed="second")


def test_what_takes_away_spoils_the_rest_once_it_has_begun() -> None:
    assert where_to_go_on(stages(third="other"), after(4, half=True)) == GoingOn(0, anew=True, changed="third")


def test_a_stage_that_begins_again_undoes_what_came_after_it() -> None:
    state = begun(after(5), 2, stages(third="other")[2])
    assert [mark.stage for mark in state.marks] == ["first", "second", "third"]
    assert not state.marks[-1].finished


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_state(tmp_path / "state.json", after(2, half=True))
    assert read_state(tmp_path / "state.json") == after(2, half=True)


@pytest.mark.parametrize("text", [None, "", "{", '{"format": 99, "marks": []}', '{"marks": 1}'])
def test_a_state_that_is_not_there_or_of_another_outcrop_is_none(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "state.json").write_text(text)
    assert read_state(tmp_path / "state.json") == BuildState()
