"""Each check by itself: what it lets pass, what it calls grave, and what it puts down to chance."""

from dataclasses import replace

import pytest

from vidbench.attack.checks import accounts, answers, convergence, gradients, strength
from vidbench.attack.checks.answers import Answer
from vidbench.attack.checks.convergence import Course
from vidbench.attack.checks.counts import Counts, Radius
from vidbench.attack.checks.flag import Flag, gravest_first
from vidbench.attack.checks.gradients import Gradient, Slope
from vidbench.attack.judge import judge

SURE = Answer(change=0.0, flips=False, finite=True, probabilities=False)
GOOD = Gradient(
    norm=2.0, finite=True, dead_frames=0, frames=4, cross_entropy_norm=1.0,
    slopes={"0.001": Slope(1.0, 4, 4), "0.01": Slope(0.3, 3, 4)}, cosine=0.9, spread=0.1,
)  # fmt: skip


def counts(clips: int = 48, clean: int = 47, **robust: int) -> Counts:
    named = {name.replace("_", "-"): value for name, value in robust.items()}
    return Counts(clips, clean, [Radius("8/255", 8 / 255, {"best": min(named.values(), default=clean), **named})])


def test_an_answer_that_changes_needs_draws() -> None:
    assert answers.steady([SURE], 5, 1, None).severity == "pass"
    assert answers.steady([replace(SURE, change=5e-5)], 5, 1, None).severity == "pass"
    unsteady = [SURE, replace(SURE, change=0.1)]
    assert answers.steady(unsteady, 5, 16, None).severity == "W"
    assert answers.steady(unsteady, 5, 16, 1).severity == "E"
    assert answers.steady(unsteady, 5, 16, 16).severity == "W"


def test_probabilities_and_numbers_that_are_none() -> None:
    assert answers.gives_logits([SURE] * 3).severity == "pass"
    assert answers.gives_logits([replace(SURE, probabilities=True)] * 3).severity == "E"
    assert answers.gives_logits([SURE, replace(SURE, probabilities=True)]).severity == "pass"
    assert answers.gives_logits([SURE] * 19 + [replace(SURE, finite=False)]).severity == "W"
    assert answers.gives_logits([replace(SURE, finite=False)]).severity == "E"


def test_a_cut_graph_a_backward_pass_inside_and_few_classes() -> None:
    assert answers.joined([True, True], "").severity == "pass"
    assert answers.joined([True, False], "cut").severity == "E"
    assert answers.differentiates_inside(0).severity == "pass"
    assert answers.differentiates_inside(3).severity == "W"
    assert answers.enough_classes(4).severity == "pass"
    assert answers.enough_classes(3).severity == "I"


@pytest.mark.parametrize(("bad", "severity"), [(0, "pass"), (2, "W"), (20, "E")])
def test_gradients_that_vanish(bad: int, severity: str) -> None:
    for gone in (replace(GOOD, norm=0.0), replace(GOOD, finite=False)):
        assert gradients.there([gone] * bad + [GOOD] * (100 - bad)).severity == severity


def test_frames_that_are_left_out_are_told() -> None:
    flag = gradients.there([replace(GOOD, dead_frames=2)])
    assert flag.severity == "I"
    assert "2 of 4 frames" in flag.evidence


def test_a_gradient_is_trusted_at_its_best_step_width() -> None:
    assert gradients.trustworthy([GOOD] * 5).severity == "pass"
    concealed = replace(GOOD, slopes={"0.001": Slope(3e-14, 2, 4), "0.01": Slope(4e-14, 2, 4)})
    assert gradients.trustworthy([concealed] * 5).severity == "E"
    # right in size on the whole, but in the wrong direction elsewhere
    assert gradients.trustworthy([replace(GOOD, slopes={"0.001": Slope(1.0, 2, 4)})] * 5).severity == "E"
    assert gradients.trustworthy([replace(GOOD, norm=0.0)]).severity == "I"


def test_a_rough_loss_is_suspect() -> None:
    assert gradients.smooth([GOOD]).severity == "pass"
    assert gradients.smooth([replace(GOOD, cosine=0.01)]).severity == "W"


def test_an_unbounded_attack_breaks_everything() -> None:
    assert strength.unbounded(0, counts(), 5).severity == "pass"
    assert strength.unbounded(1, counts(clips=4, clean=4), 5).severity == "pass"
    assert strength.unbounded(27, counts(), 5).severity == "E"
    assert strength.unbounded(None, counts(), 5).severity == "I"


@pytest.mark.parametrize(
    ("check", "larger", "smaller"),
    [
        (strength.iterations_pay, "pgd", "fgsm"),
        (lambda found: strength.gradients_pay(found, 1000), "white_box", "square"),
        (lambda found: strength.own_gradients_pay(found, ["another"]), "white_box", "transfer"),
        (lambda found: strength.near_identities(["net.0"], [], found), "white_box", "bypass"),
    ],
)
def test_what_knows_less_may_not_break_more(check, larger: str, smaller: str) -> None:
    assert check(counts(**{larger: 12, smaller: 30})).severity in ("pass", "I")
    # one clip is chance
    assert check(counts(**{larger: 13, smaller: 12})).severity in ("pass", "I")
    assert check(counts(**{larger: 47, smaller: 12})).severity == "E"
    assert check(counts()).severity in ("pass", "I")


def test_noise_is_beaten_where_anything_breaks() -> None:
    assert strength.beats_noise(counts(white_box=12, noise=47)).severity == "pass"
    assert strength.beats_noise(counts(white_box=0, noise=0)).severity == "pass"
    # nothing breaks a clip: a radius too small to tell
    assert strength.beats_noise(counts(white_box=47, noise=47)).severity == "I"
    assert strength.beats_noise(counts(white_box=47, noise=47, bypass=12)).severity == "W"


def test_steps_that_still_gain() -> None:
    done = Course("8/255", 100, {50: 12, 100: 12}, [0.01, 0.02])
    assert convergence.enough_steps([done], counts()).severity == "pass"
    assert convergence.enough_steps([replace(done, robust={50: 16, 100: 12})], counts()).severity == "W"
    assert convergence.enough_steps([replace(done, robust={50: 13, 100: 12})], counts()).severity == "pass"
    assert convergence.enough_steps([replace(done, late=[0.1, 0.2])], counts()).severity == "W"
    assert convergence.enough_steps([], counts()).severity == "I"


def test_starts_that_still_gain() -> None:
    course = Course("8/255", 20, {1: 13, 5: 12}, [])
    assert convergence.enough_restarts([course], counts()).severity == "pass"
    assert convergence.enough_restarts([replace(course, robust={1: 20, 5: 12})], counts()).severity == "W"


def test_a_cross_entropy_that_saturates() -> None:
    # the logits ratio is the weaker loss on ordinary networks
    assert convergence.losses_agree(counts(ce=12, dlr=16, margin=15), 0, 48).severity == "pass"
    assert convergence.losses_agree(counts(ce=40, dlr=16, margin=12), 0, 48).severity == "W"
    assert convergence.losses_agree(counts(ce=12, dlr=12, margin=12), 40, 48).severity == "W"


def test_a_curve_that_rises() -> None:
    def curve(*left: int) -> Counts:
        return Counts(48, 47, [Radius(str(at), at, {"pgd": count, "best": count}) for at, count in enumerate(left)])

    assert convergence.falls_with_eps(curve(47, 26, 12), ["pgd"]).severity == "pass"
    assert convergence.falls_with_eps(curve(47, 26, 27), ["pgd"]).severity == "pass"
    assert convergence.falls_with_eps(curve(47, 26, 40), ["pgd"]).severity == "E"
    assert convergence.falls_with_eps(curve(47), ["pgd"]).severity == "I"


def test_the_accounts() -> None:
    assert accounts.within_budget([], 10).severity == "pass"
    assert accounts.within_budget(["a.mp4 with linf 0.1 at eps 8/255"], 10).severity == "E"
    assert accounts.confirmed(0, 100, False, 0, 0).severity == "pass"
    assert accounts.confirmed(1, 10, False, 0, 0).severity == "I"
    assert accounts.confirmed(30, 100, False, 0, 0).severity == "E"
    assert accounts.confirmed(30, 100, True, 0, 0).severity == "W"
    assert accounts.confirmed(0, 100, False, 20, 48).severity == "E"
    assert accounts.sample_size(counts(white_box=12)).severity == "I"
    assert accounts.sample_size(counts(clips=200, clean=200, white_box=12)).severity == "pass"
    assert "AR 25.5 %, ASR 74.5 %" in accounts.all_rates(counts(white_box=12)).evidence
    assert "no AR" in accounts.all_rates(counts(clean=0, white_box=0)).evidence


def test_a_reported_figure_beside_the_best_known_one() -> None:
    assert accounts.reported_holds("8/255", 13, 12, counts()).severity == "pass"
    assert accounts.reported_holds("8/255", 15, 12, counts()).severity == "W"
    assert accounts.reported_holds("8/255", 22, 12, counts()).severity == "E"


def test_the_gravest_flag_decides() -> None:
    flags = [Flag("C0", "", severity, "") for severity in ("I", "pass", "W", "E")]
    assert [flag.severity for flag in gravest_first(flags)] == ["E", "W", "I", "pass"]
    assert judge(flags) == "INVALID"
    assert judge(flags[:3]) == "SUSPECT"
    assert judge(flags[:2]) == "VALID_UPPER_BOUND"
