"""Limits of a load, and whether they were kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli.durations import seconds
from loadtests.thresholds import Allowance, LeastRate, Measured, Thresholds, judge, parse_share

CLEAN = Measured(
    requests=1000,
    due=800,
    lost_not_allowed=0,
    charged_twice=0,
    wrong=0,
    billed_though_dropped=0,
    unanswered=0,
    billable=800,
    overhead=0.0,
)


def broken(thresholds: Thresholds, measured: Measured) -> list[str]:
    return [verdict.option for verdict in judge(thresholds, measured) if not verdict.kept]


def test_a_clean_run_keeps_the_default_limits() -> None:
    assert broken(Thresholds(), CLEAN) == []


@pytest.mark.parametrize(
    ("what", "option"),
    [
        ("lost_not_allowed", "--max-loss"),
        ("charged_twice", "--max-duplicates"),
        ("wrong", "--max-wrong"),
        ("billed_though_dropped", "--max-undropped"),
        ("unanswered", "--max-unanswered"),
    ],
)
def test_by_default_a_single_one_breaks_its_limit_and_no_other(what: str, option: str) -> None:
    assert broken(Thresholds(), replace(CLEAN, **{what: 1})) == [option]


def test_nothing_due_breaks_the_limit_of_answers_whatever_it_allows_unless_nothing_could_be_due() -> None:
    lenient = Thresholds(max_unanswered=Allowance(share=1.0))
    assert broken(lenient, replace(CLEAN, due=0, unanswered=1000)) == ["--max-unanswered"]
    assert broken(lenient, replace(CLEAN, due=1, unanswered=999)) == []
    assert broken(Thresholds(), replace(CLEAN, due=0, billable=0)) == []


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_number_allows_so_many_of_any_whole(number: int, whole: int) -> None:
    assert Allowance.parse(str(number)).of(whole) == number


@given(st.integers(0, 100), st.integers(0, 10**7))
def test_a_share_never_allows_more_than_its_part_of_the_whole(percent: int, whole: int) -> None:
    allowed = Allowance.parse(f"{percent}%").of(whole)
    assert allowed * 100 <= whole * percent + 100 * 1e-6 * whole
    assert (allowed + 1) * 100 >= whole * percent


@pytest.mark.parametrize("text", ["", "-1", "1.5", "101%", "none", "1e3", "%", "٣"])
def test_what_is_no_allowance_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is"):
        Allowance.parse(text)


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), ("0.05", 0.05), ("150%", 1.5), ("0", 0.0)])
def test_a_share_is_written_in_percent_or_as_a_ratio(text: str, share: float) -> None:
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["5", "1", "1.5", "-5%", "five"])
def test_a_number_that_may_be_meant_in_percent_is_no_ratio(text: str) -> None:
    with pytest.raises(ValueError, match="is no share: write"):
        parse_share(text)


def test_latencies_are_judged_only_when_a_limit_is_set_and_at_the_limit_it_is_kept() -> None:
    seen = replace(CLEAN, billing_latency_p99=1.2, overhead=0.05)
    assert broken(Thresholds(), seen) == []
    assert broken(Thresholds(max_billing_latency_p99=1.2, max_overhead=0.05), seen) == []
    assert broken(Thresholds(max_billing_latency_p99=1.1, max_overhead=0.04), seen) == [
        "--max-billing-latency-p99",
        "--max-overhead",
    ]


def test_a_rate_that_was_not_reached_breaks_the_limit_that_asks_for_it() -> None:
    """A run that reached 60 % of what was asked proves less."""
    seen = replace(CLEAN, rate=300.0, sent_share=0.6)
    assert broken(Thresholds(), seen) == []
    for text in ("300", "60%", "0", "0%"):
        assert broken(Thresholds(min_rate=LeastRate.parse(text)), seen) == []
    for text in ("300.1", "60.1%"):
        (verdict,) = [each for each in judge(Thresholds(min_rate=LeastRate.parse(text)), seen) if not each.kept]
        assert (verdict.option, verdict.argument) == ("--min-rate", text)
    assert broken(Thresholds(min_rate=LeastRate(share=0.0)), CLEAN) == ["--min-rate"], "nobody knows"
    assert broken(Thresholds(min_rate=LeastRate(1.0)), CLEAN) == ["--min-rate"]


def test_a_share_that_is_short_of_its_limit_never_looks_like_it() -> None:
    (verdict,) = [LeastRate.parse("100%").judge(1.0, 0.99999)]
    assert (verdict.seen, verdict.kept) == ("99.9%", False)


@pytest.mark.parametrize("text", ["", "-1", "101%", "1e3", "fast", "%"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is"):
        LeastRate.parse(text)


def test_what_could_not_be_measured_breaks_the_limit_that_asks_for_it() -> None:
    seen = replace(CLEAN, billing_latency_p99=None, overhead=None)
    assert broken(Thresholds(max_billing_latency_p99=1.0, max_overhead=1.0), seen) == [
        "--max-billing-latency-p99",
        "--max-overhead",
    ]


@given(
    st.one_of(st.builds(Allowance, st.integers(0, 10**9)), st.builds(Allowance, st.just(0), st.floats(0, 1))),
    st.floats(0, 1e6),
    st.floats(0, 100),
)
def test_a_verdict_names_its_limit_as_the_command_line_takes_it(
    allowance: Allowance, latency: float, overhead: float
) -> None:
    verdicts = judge(Thresholds(allowance, max_billing_latency_p99=latency, max_overhead=overhead), CLEAN)
    arguments = {verdict.option: verdict.argument for verdict in verdicts}
    read = Allowance.parse(arguments["--max-loss"])
    assert (read.number, read.share) == (allowance.number, pytest.approx(allowance.share, abs=1e-12))
    assert seconds(arguments["--max-billing-latency-p99"]) == pytest.approx(latency, abs=1e-11)
    assert parse_share(arguments["--max-overhead"]) == pytest.approx(overhead, abs=1e-11)
