"""The store of entities: what it makes of a state file, and that it never holds what cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugin_emulator.documents import parse_document
from plugin_emulator.gateway.admin_errors import AdminError
from plugin_emulator.gateway.entity_fields import sound_fields
from plugin_emulator.gateway.entity_rows import ENTITY_KINDS, complete_row
from plugin_emulator.gateway.entity_store import EntityStore
from plugin_emulator.gateway.state_file import load_state, read_state
from plugin_emulator.gateway.store_state import StateBuilder

SAMPLES = sorted((Path(__file__).parents[2] / "fixtures" / "kong").glob("*.yaml"))
ENVIRON = {"DECK_AUTH_TOKEN": "spat_1", "AUTH_TOKEN": "spat_2"}
EVERYTHING = """
_format_version: "3.0"
_info: {select_tags: [team-a]}
services:
- name: a
  url: https://[::1]/p
  retries: 2.0
  tags: [x]
  routes:
  - {name: r, paths: ["~/v(?<n>[0-9]+)"], headers: {X-Version: [v1]}, methods: [GET], strip_path: false}
- {host: h, port: 81, path: /q, enabled: false, id: 6F1F2F7C-6D5A-4A52-9D0A-0C0F3A1B2C3D}
routes:
- {hosts: ["*.h"], regex_priority: 3, https_redirect_status_code: 301}
consumers:
- {username: u, custom_id: c, keyauth_credentials: [{key: k, tags: []}]}
plugins:
- {name: key-auth, service: a, config: {anonymous: u, key_names: [k, l]}, instance_name: i}
- name: metering-and-billing
  route: {name: r}
  consumer: u
  enabled: false
  condition: http.method == "GET"
  protocols: [http]
  config:
    api_token: "{vault://env/auth-token}"
    ingest_endpoint: http://h/x
    subject: {look_up_value_in: header, field: x}
    attributes: [{source: query, look_up_value_in: q, event_property_name: d}]
    queue: {max_batch_size: 10.0, max_bytes: 5}
    allow_status_codes: ["200-299"]
"""


def sample(name: str) -> Any:
    if name == "everything":
        return load_state(parse_document(EVERYTHING), environ=ENVIRON)
    return read_state(next(path for path in SAMPLES if path.name == name), ENVIRON)


@pytest.mark.parametrize("name", ["everything", *(path.name for path in SAMPLES)])
def test_a_store_stands_for_the_state_it_was_filled_from(name: str) -> None:
    state = sample(name)
    built = StateBuilder("3.16", ENVIRON).build(EntityStore.of(state, "3.16", now=1))
    for kind in ("services", "routes", "consumers", "credentials", "plugins"):
        assert getattr(built, kind) == getattr(state, kind)


def test_a_state_shares_what_has_not_changed_with_the_one_before() -> None:
    store = EntityStore.of(sample("everything"), "3.16", now=1)
    builder = StateBuilder("3.16", ENVIRON)
    before = builder.build(store)
    row = next(row for row in store.rows["services"].values() if row["name"] == "a")
    after = builder.build(store.put("services", {**row, "retries": 9}))
    assert [service.retries for service in after.services] == [9, 5]
    assert {route.service.retries for route in after.routes if route.service} == {9}
    assert {plugin.service.retries for plugin in after.plugins if plugin.service} == {9}
    assert all(one is other for one, other in zip(before.consumers, after.consumers, strict=True))


def entity(kind: str, number: int, other: int) -> dict[str, Any]:
    """Return a small entity; numbers stand for names and for those it refers to."""
    match kind:
        case "services":
            return {"name": f"s{number}", "host": "h"}
        case "routes":
            return {"name": f"r{number}", "paths": ["/"], "service": {"name": f"s{other}"}}
        case "consumers":
            return {"username": f"c{number}"}
        case "keyauth_credentials":
            return {"key": f"k{number}", "consumer": {"username": f"c{other}"}}
        case _:
            scopes = [{}, {"service": {"name": f"s{number}"}}, {"route": {"name": f"r{number}"}}]
            return {"name": "key-auth", **scopes[other]}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    steps=st.lists(
        st.tuples(
            st.booleans() | st.just(True), st.sampled_from(list(ENTITY_KINDS)), st.integers(0, 2), st.integers(0, 2)
        ),
        max_size=25,
    )
)
def test_no_sequence_of_writes_leaves_a_reference_open_or_a_name_twice(
    steps: list[tuple[bool, str, int, int]],
) -> None:
    store, builder, made = EntityStore(), StateBuilder("3.16", {}), 0
    for adds, kind, number, other in steps:
        try:
            if adds:
                made += 1
                sound = sound_fields(kind, entity(kind, number, other), "3.16", store)
                row = complete_row(kind, {**sound, "id": f"00000000-0000-4000-8000-{made:012}"}, "3.16", now=made)
                store = store.added(kind, row)
            else:
                ids = list(store.rows[kind])
                store = store.removed(kind, ids[number]) if number < len(ids) else store
        except AdminError as error:
            assert error.body["code"] in (4, 5, 13)
            continue
        for each, meta in ENTITY_KINDS.items():
            rows = store.rows[each].values()
            for name, referred in meta.foreign.items():
                assert all(row[name] is None or row[name]["id"] in store.rows[referred] for row in rows)
            for name in meta.unique:
                given_names = [row[name] for row in rows if row[name] is not None]
                assert len(given_names) == len(set(given_names))
        fresh, kept = StateBuilder("3.16", {}).build(store), builder.build(store)
        assert (fresh.services, fresh.routes, fresh.plugins) == (kept.services, kept.routes, kept.plugins)
        assert (fresh.consumers, fresh.credentials) == (kept.consumers, kept.credentials)
