from __future__ import annotations

from federation_samples import description, evaluation, round_summary, study

from crisp_core.schema.manifest import Progress
from crisp_core.schema.messages import HintFigures
from crisp_core.schema.study import Study
from crisp_server.steps import (
    Describe,
    HoldOut,
    MakeHints,
    TrainRound,
    Validate,
    converged,
    next_step,
    round_plan,
)


def after_generations(whole: Study, count: int) -> Progress:
    """Everything up to and including the validation of generation `count`."""
    rounds = [r for r in round_plan(whole) if r.generation <= count]
    return Progress(
        sites={name: description(name) for name in whole.sites},
        rounds=tuple(round_summary(r.generation, r.round_number) for r in rounds),
        hints=tuple({} for _ in range(count - 1)),
        validations=tuple({} for _ in range(count)),
        generation_models=tuple("0" for _ in range(count)),
    )


def test_a_study_begins_by_asking_every_site_what_it_has() -> None:
    assert next_step(study(), Progress()) == Describe()


def test_generation_one_trains_without_making_hints() -> None:
    whole = study(generations=2, rounds=2, steps=12)

    step = next_step(whole, after_generations(whole, 0))

    assert step == TrainRound(generation=1, round_number=1, first_step=0, steps=5)
    # shares 4:1 of 12 steps are 10 and 2 (9.6 and 2.4 by largest remainder), two rounds each


def test_a_later_generation_makes_hints_then_trains_then_validates() -> None:
    whole = study(generations=2, rounds=1, steps=10)
    begun = after_generations(whole, 1)
    hinted = begun.model_copy(update={"hints": ({},)})
    trained = hinted.model_copy(update={"rounds": (*begun.rounds, round_summary(2, 2))})

    assert next_step(whole, begun) == MakeHints(2)
    assert isinstance(next_step(whole, hinted), TrainRound)
    assert next_step(whole, trained) == Validate(2)


def test_a_method_without_hints_has_the_same_rounds_and_never_asks_for_hints() -> None:
    plain, crisp = study(method="fedavg"), study(method="crisp")

    assert round_plan(plain) == round_plan(crisp)
    assert isinstance(next_step(plain, after_generations(plain, 1)), TrainRound)


def test_the_held_out_sites_come_last_and_once() -> None:
    whole = study(generations=2)
    done = after_generations(whole, 2)

    assert next_step(whole, done) == HoldOut()
    finished = done.model_copy(update={"final": {"south": evaluation("south", [0.5])}})
    assert next_step(whole, finished) is None


def test_rounds_spend_the_whole_budget_without_a_gap() -> None:
    plan = round_plan(study(generations=3, rounds=3, steps=101))

    ends = [r.first_step + r.steps for r in plan]
    assert [r.first_step for r in plan] == [0, *ends[:-1]]
    assert ends[-1] == 101


def hints_changed(pixels: float | None, values: float | None) -> HintFigures:
    return HintFigures(
        case_count=1,
        core_precision=None,
        core_recall=None,
        support_precision=None,
        support_recall=None,
        support_coverage=1.0,
        uncertain=0.5,
        changed=values,
        pixels_changed=pixels,
        seconds=0.0,
    )


def test_convergence_needs_every_source_below_both_bounds() -> None:
    whole = study(stop_when_converged=True)

    def settled(*figures: HintFigures) -> bool:
        sites = {f"s{place}": one for place, one in enumerate(figures)}
        return converged(whole, Progress(hints=(sites,)))

    assert settled(hints_changed(0.009, 0.029), hints_changed(0.0, 0.0))
    assert not settled(hints_changed(0.009, 0.029), hints_changed(0.011, 0.0))
    assert not settled(hints_changed(0.0, 0.031))
    assert not settled(hints_changed(None, None))  # the first hints have no predecessor


def test_a_converged_study_goes_straight_to_the_held_out_sites() -> None:
    whole = study(generations=3, stop_when_converged=True)
    progress = after_generations(whole, 2).model_copy(update={"converged_at": 2})

    assert next_step(whole, progress) == HoldOut()
