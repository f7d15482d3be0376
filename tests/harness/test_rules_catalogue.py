"""The rules catalogue: ids, provenance, versions, selection."""

from __future__ import annotations

import pytest

from harness.conformance.rules import PROFILES, catalogue, rule_order, rules_of, select

GROUPS = {"CFG", "SUB", "DRP", "EVT", "ATR", "FLT", "CND", "BAT", "RET", "CAP", "BRK", "DLV", "LIF", "AMB"}


def test_every_group_is_there_and_numbered_without_a_gap() -> None:
    for group in GROUPS:
        numbers = sorted(rule_order(rule.id)[1] for rule in catalogue().values() if rule.group == group)
        assert numbers == list(range(1, len(numbers) + 1)), group
    assert {rule.group for rule in catalogue().values()} == GROUPS


def test_every_rule_is_one_sentence_of_its_own_with_a_known_provenance() -> None:
    texts = [rule.text for rule in catalogue().values()]
    assert len(set(texts)) == len(texts)
    for rule in catalogue().values():
        assert rule.text.endswith("."), rule.id
        assert rule.provenance, rule.id
        assert set(rule.provenance) <= {"doc", "src", "pdk", "disputed", "assumed", "ours"}, rule.id


def test_what_came_with_3_16_is_no_rule_of_earlier_versions() -> None:
    before = {rule.id for rule in rules_of("kong-3.15")}
    assert {"FLT-4", "BRK-1", "BRK-2", "BRK-3"}.isdisjoint(before)
    assert {"FLT-4", "BRK-1", "BRK-2", "BRK-3"} <= {rule.id for rule in rules_of("kong-3.16")}


def test_router_expressions_are_a_rule_of_3_14_alone() -> None:
    assert catalogue()["CND-4"].profiles == ("kong-3.14",)
    assert catalogue()["CND-2"].profiles == PROFILES[1:]


def test_a_disputed_or_assumed_rule_is_unsettled_and_a_documented_one_is_not() -> None:
    assert catalogue()["SUB-1"].unsettled
    assert catalogue()["DRP-2"].unsettled
    assert not catalogue()["DRP-1"].unsettled


def test_groups_and_ids_select_in_any_case() -> None:
    assert select(["drp", "Ret-1"]) == {"DRP-1", "DRP-2", "DRP-3", "DRP-4", "RET-1"}


@pytest.mark.parametrize(("word", "hint"), [("DPR", "DRP"), ("RET-77", "RET-"), ("", "--list")])
def test_an_unknown_word_is_refused_with_advice(word: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        select([word])


def test_a_rule_of_one_plugin_is_no_rule_of_another() -> None:
    of_amberflo = {rule.id for rule in rules_of("amberflo-0.2")}
    assert of_amberflo == select(["AMB"])
    assert all(of_amberflo.isdisjoint(rule.id for rule in rules_of(profile)) for profile in PROFILES)
