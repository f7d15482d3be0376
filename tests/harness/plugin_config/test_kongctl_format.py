"""kongctl: the control plane's file names the state file that decK applies."""

from __future__ import annotations

from dataclasses import replace

import pytest
from state_file_entities import OPTIONS, metering, parsed

from harness.plugin_config.formats import deck
from harness.plugin_config.formats.format import CannotExpress
from harness.plugin_config.formats.kongctl import FORMAT


def test_the_control_plane_comes_first_and_names_the_state_file_beside_it() -> None:
    main, state = FORMAT.render([metering()], OPTIONS)
    assert (main.name, state.name) == ("konnect.yaml", "kong.yaml")
    (control_plane,) = parsed(main.text)["control_planes"]
    assert control_plane["_deck"] == {"files": [state.name]}


def test_the_state_file_is_decks_own() -> None:
    entities = [metering(), metering(scope={"service": "orders"})]
    assert FORMAT.render(entities, OPTIONS)[1:] == deck.FORMAT.render(entities, OPTIONS)


@pytest.mark.parametrize(
    ("control_plane", "external"),
    [
        (None, {"id": "controlPlaneId"}),
        ("9524ec7d-36d9-465d-a8c5-83a3c9390458", {"id": "9524ec7d-36d9-465d-a8c5-83a3c9390458"}),
        ("prod: no", {"selector": {"matchFields": {"name": "prod: no"}}}),
        ("007", {"selector": {"matchFields": {"name": "007"}}}),
    ],
)
def test_the_control_plane_is_one_that_exists_by_its_id_or_its_name(
    control_plane: str | None, external: dict[str, object]
) -> None:
    main, _ = FORMAT.render([metering()], replace(OPTIONS, control_plane=control_plane))
    (declared,) = parsed(main.text)["control_planes"]
    assert declared["_external"] == external
    assert declared.keys() == {"ref", "_external", "_deck"}


def test_the_file_warns_of_sync_which_would_delete_everything_else() -> None:
    main, _ = FORMAT.render([metering()], OPTIONS)
    comments = [line for line in main.text.splitlines() if line.startswith("#")]
    assert any("kongctl apply -f konnect.yaml" in line for line in comments)
    assert any("sync" in line and "delete" in line for line in comments)


@pytest.mark.parametrize(
    ("entity", "control_plane", "field"),
    [(metering(condition="\ud800"), None, "condition"), (metering(), "\ud800", "control plane")],
)
def test_text_that_yaml_cannot_hold_is_refused_by_name(entity: object, control_plane: str | None, field: str) -> None:
    with pytest.raises(CannotExpress, match=r"^kongctl cannot express") as refusal:
        FORMAT.render([entity], replace(OPTIONS, control_plane=control_plane))  # type: ignore[list-item]
    assert refusal.value.field == field
