"""What two plugins bill of one request, and the rules that make them differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.comparison.comparison import Comparison, compare
from harness.comparison.instance import BILLERS, instance_of
from harness.comparison.load import Load
from harness.comparison.tables import bill_text, tables
from harness.plugin_config.config_file import FoundPlugin
from harness.plugin_config.plugin_kinds import PLUGIN_KINDS, plugin_kind
from plugin_emulator.exchange import Exchange
from plugin_emulator.metering_plugins import BY_NAME, plugin_options

OPTIONS = plugin_options({})
METERING: dict[str, Any] = {"allow_status_codes": ["200-499"]}
AMBERFLO: dict[str, Any] = {"meterApiName": "calls", "customerHeader": "x-consumer-username"}
ALICE = {"id": "c1", "username": "alice"}
AI = {"request_model": "gpt", "prompt_tokens": 3, "completion_tokens": 4}


def exchange(status: int = 200, upstream: int | str | None = 200, **members: Any) -> Exchange:
    """Return a request of alice's that an upstream answered."""
    data = {
        "request": {"method": "GET", "path": "/a", "headers": members.pop("headers", []), "started_at": 10.0},
        "response": {"status": status, "ended_at": 10.5},
        "upstream_status": upstream,
        "service": {"id": "s1", "name": "orders"},
        "route": {"id": "r1", "name": "all"},
        "consumer": ALICE,
        **members,
    }
    return msgspec.convert(data, Exchange)


def compared(
    *exchanges: Exchange,
    metering: dict[str, Any] | None = None,
    amberflo: dict[str, Any] | None = None,
    **entity: Any,
) -> Comparison:
    """Bill the exchanges; ``entity`` are members of both plugins' entities."""
    first, second = (
        instance_of(FoundPlugin({"name": name, "config": config, **entity}, "f.yaml", {}), kind, "3.16", OPTIONS, 0)
        for name, config in (
            ("metering-and-billing", {**METERING, **(metering or {})}),
            ("amberflo", {**AMBERFLO, **(amberflo or {})}),
        )
        if (kind := plugin_kind(name))
    )
    return compare((first, second), exchanges, Load(()))


@pytest.mark.parametrize(
    ("made", "billed", "kind", "rules"),
    [
        (exchange(), ("alice", "alice"), "same", ()),
        (exchange(404, 404), ("alice", "alice"), "same", ()),
        (exchange(500, 500), (None, "alice"), "one", ("FLT-4", "AMB-5")),
        (exchange(502, "502, 502"), (None, "alice"), "one", ("FLT-4", "AMB-5")),
        (exchange(503, None), (None, "alice"), "one", ("FLT-4", "AMB-5")),
        (exchange(401, None, consumer=None), (None, None), "same", ("DRP-1", "AMB-5")),
        (exchange(429, None), ("alice", None), "one", ("AMB-5", "FLT-5")),
        (exchange(429, 429), ("alice", "alice"), "same", ()),
        (exchange(429, ""), ("alice", None), "one", ("AMB-5", "FLT-5")),
        (exchange(200, ""), ("alice", None), "one", ("AMB-5", "FLT-5")),  # out of a cache
        (exchange(200, None), ("alice", "alice"), "same", ()),  # it does not say
        (exchange(502, ""), (None, "alice"), "one", ("FLT-4", "AMB-5")),
        (exchange(consumer=None), (None, None), "same", ("DRP-1", "AMB-1")),
        (
            exchange(consumer=None, headers=[("X-Consumer-Username", "mallory")]),
            (None, "mallory"),
            "one",
            ("DRP-1", "AMB-1"),
        ),
        (exchange(headers=[("X-Consumer-Username", "mallory")]), ("alice", "alice"), "same", ()),
        (exchange(ai=AI), ("alice", "alice"), "amount", ("EVT-9",)),
        (exchange(500, 500, ai=AI), (None, "alice"), "one", ("FLT-4", "AMB-5")),
    ],
)
def test_each_plugin_bills_by_its_own_rules(
    made: Exchange, billed: tuple[str | None, str | None], kind: str, rules: tuple[str, ...]
) -> None:
    (one,) = compared(made).compared
    customers = tuple(bill.lines[0].customer if bill.lines else None for bill in one.bills)
    assert (customers, one.difference.kind, one.difference.rules) == (billed, kind, rules)
    assert bool(one.difference.why) is (bool(rules))


def test_amb_1_the_customer_of_one_may_be_another_than_the_subject_of_the_other() -> None:
    tenant = {"customerHeader": "x-tenant-id"}
    (one,) = compared(exchange(headers=[("x-tenant-id", "acme")]), amberflo=tenant).compared
    assert one.difference.kind == "customer"
    assert one.difference.why == "metering-and-billing bills 'alice', amberflo bills 'acme'"


def test_amb_1_without_the_header_only_the_plugin_that_looks_elsewhere_bills() -> None:
    (one,) = compared(exchange(), amberflo={"customerHeader": "x-tenant-id"}).compared
    assert (one.difference.kind, one.difference.rules) == ("one", ("AMB-1", "SUB-1…5"))


def test_who_pays_is_told_for_each_customer_and_first_where_it_differs() -> None:
    """Both bill two requests in all, and one of them bills somebody else for one."""
    tenant = {"customerHeader": "x-tenant-id"}
    to_acme, to_alice = exchange(headers=[("x-tenant-id", "acme")]), exchange(headers=[("x-tenant-id", "alice")])
    to_bob = exchange(headers=[("x-tenant-id", "bob")], consumer={"id": "c2", "username": "bob"})
    comparison = compared(to_acme, to_alice, to_bob, amberflo=tenant)
    assert comparison.totals(0).amounts == comparison.totals(1).amounts == {"requests": 3}
    assert comparison.totals(0).customers == {"alice": {"requests": 2}, "bob": {"requests": 1}}
    assert comparison.totals(1).customers == {name: {"requests": 1} for name in ("acme", "alice", "bob")}
    (table,) = [table for table in tables(comparison, 2) if table.title == "Who pays for what"]
    assert table.rows == [("acme", "–", "1 request"), ("alice", "2 requests", "1 request")]
    assert table.marked == {0, 1}
    assert table.note == "and 1 more customer; --json has all"


def test_amounts_are_shown_to_the_last_digit() -> None:
    million = {**AI, "prompt_tokens": 1_234_567, "completion_tokens": 1}
    comparison = compared(exchange(ai=million), exchange(ai=million))
    assert bill_text(comparison.compared[0].bills[0]) == "alice, 1,234,567 prompt tokens, 1 completion token"
    shown = {row for table in tables(comparison, 9) for row in table.rows}
    assert ("prompt tokens", "2,469,134", "0") in shown
    assert ("alice", "2 requests, 2,469,134 prompt tokens, 2 completion tokens", "2 requests") in shown


def test_evt_9_tokens_are_billed_by_one_plugin_only() -> None:
    comparison = compared(exchange(ai=AI), exchange())
    assert comparison.totals(0).amounts == {"requests": 2, "prompt tokens": 3, "completion tokens": 4}
    assert comparison.totals(1).amounts == {"requests": 2}


@pytest.mark.parametrize(
    ("entity", "rule"),
    [
        ({"enabled": False}, "FLT-3"),
        ({"service": "other"}, "FLT-1"),
        ({"route": {"id": "R1"}}, None),
        ({"service": "orders", "consumer": "alice"}, None),
        ({"consumer": "bob"}, "FLT-1"),
        ({"condition": 'http.path == "/b"'}, "FLT-6"),
        ({"condition": 'http.path == "/a"'}, None),
    ],
)
def test_flt_1_scope_condition_and_enabled_hold_for_both(entity: dict[str, Any], rule: str | None) -> None:
    (one,) = compared(exchange(), **entity).compared
    assert [bill.drop and bill.drop.rule for bill in one.bills] == [rule, rule]
    assert one.difference.kind == "same"


def test_every_metering_plugin_can_be_compared() -> None:
    assert set(BILLERS) == {kind.name for kind in PLUGIN_KINDS} == {plugin.names[0] for plugin in BY_NAME.values()}


def test_the_sample_shows_each_kind_of_difference_there_is_under_one_subject() -> None:
    fixtures = Path(__file__).parents[3] / "fixtures" / "comparison" / "exchanges.jsonl"
    sample = [msgspec.convert(json.loads(line), Exchange) for line in fixtures.read_text().splitlines()]
    assert set(compared(*sample).kinds) == {"same", "one", "amount"}
