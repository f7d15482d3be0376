"""References in a state file: what they are replaced by, and what no message may quote."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugin_emulator.documents import InvalidDocument, parse_document, pointer_text
from plugin_emulator.gateway.entities import GatewayState
from plugin_emulator.gateway.references import UnresolvedReference, render_environment, resolve_vault_reference
from plugin_emulator.gateway.state_file import load_state, read_state
from plugin_emulator.metering_and_billing.config import MeteringConfig

HEAD = '_format_version: "3.0"\n'
METERING = "{name: metering-and-billing, config: {api_token: t, ingest_endpoint: 'http://h/x'}}"


def loaded(text: str, environ: Mapping[str, str] | None = None) -> GatewayState:
    return load_state(parse_document(HEAD + text, "kong.yml"), environ=environ or {})


def read(tmp_path: Path, text: str, environ: Mapping[str, str]) -> GatewayState:
    path = tmp_path / "kong.yml"
    path.write_text(text, encoding="utf-8")
    return read_state(path, environ)


def metering_config(state: GatewayState) -> MeteringConfig:
    (config,) = [plugin.config for plugin in state.plugins if isinstance(plugin.config, MeteringConfig)]
    return config


@pytest.mark.parametrize("written", ['"${{ env "DECK_T" }}"', '${{ env "DECK_T" }}', "'${{env 'DECK_T'}}'"])
def test_an_environment_reference_is_filled_in_however_a_tutorial_writes_it(tmp_path: Path, written: str) -> None:
    text = f"{HEAD}plugins: [{METERING}]".replace("api_token: t", f"api_token: {written}")
    assert metering_config(read(tmp_path, text, {"DECK_T": "spat_1"})).api_token == "spat_1"


def test_an_environment_reference_may_stand_inside_a_string_and_make_a_number(tmp_path: Path) -> None:
    text = HEAD + 'services: [{name: "a-${{ env "DECK_N" }}-b", host: h, port: ${{ env "DECK_P" }}}]'
    (service,) = read(tmp_path, text, {"DECK_N": "x", "DECK_P": "8080"}).services
    assert (service.name, service.port) == ("a-x-b", 8080)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ('${{ env "DECK_GONE" }}', "environment variable DECK_GONE is not set"),
        ('${{ env "HOME" }}', "environment variable 'HOME' does not begin with DECK_"),
        ('${{ env "DECK_T" | toInt }}', "a ${{ … }} that is not understood"),
        ("${{ DECK_T }}", "a ${{ … }} that is not understood"),
        ('${{ env "DECK_T"', "a ${{ without its }}"),
    ],
)
def test_a_reference_that_cannot_be_filled_in_is_refused_with_its_line(reference: str, message: str) -> None:
    with pytest.raises(InvalidDocument) as error:
        render_environment(f"a: 1\nb: {reference}\n", {"DECK_T": "x", "HOME": "/root"}, "kong.yml")
    ((problem),) = error.value.problems
    assert (problem.file, problem.line, problem.message) == ("kong.yml", 2, message)


def test_lines_are_those_of_the_file_though_a_value_has_several(tmp_path: Path) -> None:
    text = HEAD + 'services:\n- name: s\n  host: ${{ env "DECK_H" }}\n  nope: 1\nroutes:\n- {name: r}\n'
    with pytest.raises(InvalidDocument) as error:
        read(tmp_path, text, {"DECK_H": '"a\n\n    b"'})
    lines = {pointer_text(problem.pointer): problem.line for problem in error.value.problems}
    assert lines["/services/0/nope"] == 5
    assert lines["/routes/0"] == 7


@pytest.mark.parametrize(
    "value",
    [
        'sec"ret-4711: x',
        "*secret-4711",
        "!secret-4711 x",
        "{secret-4711: x}",
        "x\n  secret-4711: y",
        "x\nsecret-4711: y",
        "[secret-4711",
        "'secret-4711",
        "&secret-4711 *secret-4711",
        "2026-02-31 # secret-4711",
        "x, secret-4711: y, secret-4711: z",
    ],
)
@pytest.mark.parametrize("quotes", ["", '"', "'"])
def test_no_message_quotes_what_came_from_the_environment(tmp_path: Path, value: str, quotes: str) -> None:
    reference = "${{ env 'DECK_T' }}"
    text = f"{HEAD}services:\n- name: {reference}\n  nope: {quotes}{reference}{quotes}\nplugins: [{{name: gone}}]\n"
    with pytest.raises(InvalidDocument) as error:
        read(tmp_path, text, {"DECK_T": value})
    assert "4711" not in str(error.value)
    assert error.value.__context__ is None


def test_a_value_that_breaks_the_yaml_is_named_by_its_variable_and_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidDocument) as error:
        read(tmp_path, f"{HEAD}a: 1\nb: \"${{{{ env 'DECK_T' }}}}\"\n", {"DECK_T": 'x"y'})
    (problem,) = error.value.problems
    assert problem.line == 3
    assert "DECK_T" in problem.message


def test_a_mistake_of_the_file_itself_is_reported_as_such(tmp_path: Path) -> None:
    with pytest.raises(InvalidDocument, match="did not find expected") as error:
        read(tmp_path, f"{HEAD}a: ${{{{ env 'DECK_T' }}}}\nb: [1\nc: 2\n", {"DECK_T": "x"})
    assert error.value.problems[0].line == 4


def test_a_vault_reference_takes_the_variable_in_capitals_and_a_json_member_of_it() -> None:
    environ = {"MY_TOKEN": "v", "KONG_MY_TOKEN": "p", "BOTH": '{"token": "m", "n": 5}'}
    assert resolve_vault_reference("{vault://env/my-token}", environ) == "v"
    assert resolve_vault_reference("{vault://env/my-token?prefix=KONG_}", environ) == "p"
    assert resolve_vault_reference("{vault://env/both/token}", environ) == "m"
    assert resolve_vault_reference("{vault://env/both/n}", environ) == "5"


@pytest.mark.parametrize("reference", ["{vault://env/gone}", "{vault://env/plain/key}", "{vault://env/both/gone}"])
def test_a_vault_reference_without_value_says_so_without_quoting_one(reference: str) -> None:
    with pytest.raises(UnresolvedReference) as error:
        resolve_vault_reference(reference, {"PLAIN": "secret-4711", "BOTH": '{"token": "secret-4711"}'})
    assert "4711" not in str(error.value)


def test_token_and_endpoint_come_from_the_vault() -> None:
    text = f"plugins: [{METERING}]".replace("api_token: t", "api_token: '{vault://env/token}'")
    text = text.replace("'http://h/x'", "'{vault://env/endpoint}'")
    config = metering_config(loaded(text, {"TOKEN": "v", "ENDPOINT": "http://other/"}))
    assert (config.api_token, config.ingest_endpoint) == ("v", "http://other/")


def test_an_unresolved_vault_reference_is_an_empty_token_and_a_warning() -> None:
    state = loaded(f"plugins: [{METERING}]".replace("api_token: t", "api_token: '{vault://env/gone}'"))
    assert metering_config(state).api_token == ""
    (warning,) = state.warnings
    assert (warning.line, pointer_text(warning.pointer)) == (2, "/plugins/0/config/api_token")
    assert "GONE is not set" in warning.message


def test_a_vault_other_than_the_environment_is_refused() -> None:
    text = f"plugins: [{METERING}]".replace("api_token: t", "api_token: '{vault://hcv/kong/token}'")
    with pytest.raises(InvalidDocument, match="vault 'hcv' is not emulated") as error:
        loaded(text)
    assert error.value.problems[0].pointer == ("plugins", 0, "config", "api_token")


@pytest.mark.parametrize(
    ("old", "new", "pointer"),
    [
        ("api_token: t", "api_token: t, subject: {field: '{vault://env/x}'}", "/plugins/0/config/subject/field"),
        ("api_token: t", "api_token: 'vault://env/x'", "/plugins/0/config/api_token"),
    ],
)
def test_a_vault_reference_that_stays_text_is_warned_of(old: str, new: str, pointer: str) -> None:
    (warning,) = loaded(f"plugins: [{METERING}]".replace(old, new)).warnings
    assert pointer_text(warning.pointer) == pointer


@settings(max_examples=100, deadline=None)
@given(
    st.text(alphabet="ab\n", max_size=30), st.text(alphabet="ab\n", max_size=30), st.text(alphabet="x\n", max_size=9)
)
def test_every_line_of_substituted_text_maps_back_to_its_own(before: str, after: str, value: str) -> None:
    original = f"{before}${{{{ env 'DECK_V' }}}}{after}#end"
    rendered = render_environment(original, {"DECK_V": value})
    assert rendered.text == f"{before}{value}{after}#end"
    assert rendered.original_line(rendered.text.count("\n") + 1) == original.count("\n") + 1
    assert rendered.original_line(1) == 1


def test_references_that_are_never_closed_do_not_take_the_square_of_time() -> None:
    def seconds(count: int) -> float:
        begun = time.process_time()
        with pytest.raises(InvalidDocument, match="without its }}"):
            render_environment("${{" * count, {})
        return time.process_time() - begun

    assert seconds(400_000) < 20 * max(seconds(100_000), 0.001)
