"""What is said of few seeds, held to scipy and to examples worked by hand, and which jobs are seeds of one configuration."""

import numpy as np
import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from harness import CONF, compose
from jobs.store import _NOT_IN_KEY, _OF_TRAINING
from reports.configuration import OF_RESULT, OF_TRAINING, distinguishing, newest_by_seed, said, settings
from reports.statistics import CONFIDENCE, Estimate, compare
from tests.test_reports import bare_record

accuracies = st.floats(0, 1, allow_subnormal=False)  # torch may have switched them off


def by_seed(min_size, max_size=12):
    return st.dictionaries(st.integers(0, 20), accuracies, min_size=min_size, max_size=max_size)


def test_an_estimate_worked_by_hand():
    """Mean 2, standard deviation 1, t of two degrees of freedom 4.303: 4.303 / sqrt(3)."""
    estimate = Estimate.of([1.0, 2.0, 3.0])
    assert (estimate.mean, estimate.worst, estimate.n) == (2, 1, 3)
    assert estimate.half_width == pytest.approx(2.4841, abs=1e-4)


@given(st.lists(accuracies, min_size=2, max_size=12))
def test_intervals_are_those_of_scipy(values):
    deviation = stats.sem(values)
    assume(deviation > 1e-9)
    estimate = Estimate.of(values)
    low, high = stats.t.interval(CONFIDENCE, len(values) - 1, np.mean(values), deviation)
    assert (estimate.mean - estimate.half_width, estimate.mean + estimate.half_width) == pytest.approx((low, high))
    assert estimate.worst == min(values) <= estimate.mean + 1e-12


def test_one_seed_has_no_interval_and_none_no_estimate():
    assert Estimate.of([0.5]) == Estimate(0.5, None, 0.5, 1)
    with pytest.raises(ValueError, match="at least one seed"):
        Estimate.of([])


@pytest.mark.parametrize(
    ("one", "other", "verdict"),
    [
        # Differences 1, 2, 3: 2 ± 2.48. Differences 2, 3, 4: 3 ± 2.48.
        ({0: 5, 1: 6, 2: 7}, {0: 4, 1: 4, 2: 4}, "~"),
        ({0: 6, 1: 7, 2: 8}, {0: 4, 1: 4, 2: 4}, "better"),
        ({0: 2, 1: 1, 2: 0}, {0: 4, 1: 4, 2: 4}, "worse"),
        # As far apart as within themselves, but never the other way round: pairing tells what means do not.
        ({0: 0.1, 1: 0.5, 2: 0.9}, {0: 0.08, 1: 0.47, 2: 0.88}, "better"),
        ({0: 1, 1: 1, 2: 1}, {0: 1, 1: 1, 2: 1}, "~"),
        ({0: 1, 1: 1, 3: 1}, {0: 0, 1: 0, 2: 0}, "?"),
        ({}, {}, "?"),
    ],
)
def test_comparisons_worked_by_hand(one, other, verdict):
    assert compare(one, other) == verdict


@given(by_seed(3), by_seed(3))
def test_a_comparison_is_scipys_paired_test_over_the_common_seeds(one, other):
    common = sorted(set(one) & set(other))
    if len(common) < 3:
        assert compare(one, other) == "?"
        return
    first, second = [one[seed] for seed in common], [other[seed] for seed in common]
    assume(np.std(np.subtract(first, second)) > 1e-9)
    low, high = stats.ttest_rel(first, second).confidence_interval(CONFIDENCE)
    assume(min(abs(low), abs(high)) > 1e-9)
    assert compare(one, other) == ("better" if low > 0 else "worse" if high < 0 else "~")


@given(by_seed(0), by_seed(0))
def test_a_comparison_turned_round_says_the_opposite(one, other):
    opposite = {"better": "worse", "worse": "better", "~": "~", "?": "?"}
    assert compare(other, one) == opposite[compare(one, other)]


@pytest.mark.parametrize("n_seeds", [3, 5, 10])
def test_equal_methods_are_called_different_in_one_of_twenty_draws(n_seeds):
    n_draws = 2000
    rng = np.random.default_rng(n_seeds)
    shared = rng.normal(0.97, 0.01, (n_draws, n_seeds))  # what the seed does to both
    one, other = (shared + rng.normal(0, 0.002, shared.shape) for _ in range(2))
    told = sum(compare(dict(enumerate(a)), dict(enumerate(b))) != "~" for a, b in zip(one.tolist(), other.tolist(), strict=True))
    low, high = stats.binom.interval(0.999, n_draws, 1 - CONFIDENCE)
    assert low <= told <= high


def configured(seed, chosen=(), **parts):
    return bare_record(seed=seed, config={"seed": seed, "runs_dir": "r", **parts}, choices=dict(chosen))


def test_what_decides_a_result_is_what_a_jobs_key_is_made_of():
    config = compose([])
    of_forms = {"backend", "timing"}  # which forms are built and how they are timed changes neither accuracy nor a form's speed
    assert (set(OF_RESULT) - {"threads"}) | of_forms == set(config) - set(_NOT_IN_KEY) - {"seed", "experiment"}
    assert set(OF_TRAINING) == set(_OF_TRAINING) - {"seed"}


def test_the_only_setting_that_follows_the_seed_is_the_split():
    """What another one would be: each seed a configuration of its own."""
    following = {
        f"{path.parent.name}.{name}"
        for path in CONF.rglob("*.yaml")
        for name, value in (yaml.safe_load(path.read_text()) or {}).items()
        if isinstance(value, str) and "${seed}" in value
    }
    assert following == {"task.split_seed"}


@pytest.mark.parametrize("task", ["life", "mnist"])
def test_jobs_are_one_configuration_where_only_the_seed_differs(task):
    one, two, other = (
        settings(configured(**compose([f"task={task}", f"seed={seed}", *more]) | {"seed": seed}))
        for seed, more in ((1, []), (2, ["threads=null"]), (1, ["train.optimiser.learning_rate=0.1"]))
    )
    assert one == two != other
    assert distinguishing([one, two, other]) == ["train.optimiser.learning_rate"]


def test_a_split_that_was_chosen_is_a_setting():
    chosen = [("task.split_seed", "1")]
    assert settings(configured(1, chosen, task={"split_seed": 1})) == {"task.split_seed": "1"}
    assert settings(configured(1, task={"split_seed": 1})) == settings(configured(2, task={"split_seed": 2}))


def test_settings_are_told_as_on_the_command_line_and_lists_by_their_runs():
    found = settings(
        configured(0, method={"widths": [8, 8, 8, 4], "deep": {"empty": []}, "smooth": None, "rate": 1e-8, "on": True})
    )
    assert found == {
        "method.widths": "8×3,4", "method.smooth": "null", "method.rate": "1e-08", "method.on": "true",
    }  # fmt: skip
    assert said(["method.widths", "method.on"], found) == "widths=8×3,4 on=true"


@given(st.lists(st.fixed_dictionaries({name: st.sampled_from("xyz") for name in "abcd"}), max_size=8))
def test_distinguishing_settings_tell_all_apart_that_differ_and_none_is_idle(found):
    names = distinguishing(found)
    assert len({tuple(one[name] for name in names) for one in found}) == len({frozenset(one.items()) for one in found})
    for i in range(len(names)):
        before, after = ({tuple(one[name] for name in names[:end]) for one in found} for end in (i, i + 1))
        assert len(before) < len(after)


def test_of_a_job_that_was_run_again_the_last_counts():
    jobs = [bare_record(seed=seed, date=date) for seed, date in ((1, "2026-01-03"), (1, "2026-01-02"), (0, "2026-01-01"))]
    assert list(newest_by_seed(jobs).items()) == [(0, jobs[2]), (1, jobs[0])]
