"""``config render``, ``validate``, ``convert`` and ``formats`` from the command line."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cli.main import main
from harness.plugin_config.formats.registry import FORMAT_NAMES

KONNECT = "https://us.api.konghq.com/v3/openmeter/events"
SECRET = "spat_4f1d0c"
STATE = f"""\
_format_version: "3.0"
services:
- name: orders
  url: http://127.0.0.1:9000
  plugins:
  - name: key-auth
  - name: metering-and-billing
    config:
      ingest_endpoint: {KONNECT}
      api_token: {SECRET}
      subject: {{look_up_value_in: consumer}}
"""


class Ran:
    """What a command printed, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def run_config(*arguments: str | Path) -> Ran:
        with pytest.raises(SystemExit) as ended:
            main(["config", *map(str, arguments)])
        output = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Ran(ended.value.code, output.out, output.err)

    return run_config


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "kong.yaml"
    path.write_text(STATE)
    return path


# --------------------------------------------------------------------------------------------------------- render


def test_options_alone_are_intent_enough(run: Any) -> None:
    ran = run("render", "--format", "deck", "--ingest", "konnect:us", "--subject", "header:x-tenant-id")
    assert ran.code == 0, ran.err
    assert yaml.safe_load(ran.out) == {
        "_format_version": "3.0",
        "plugins": [
            {
                "name": "metering-and-billing",
                "config": {
                    "ingest_endpoint": KONNECT,
                    "api_token": '${{ env "DECK_AUTH_TOKEN" }}',
                    "subject": {"look_up_value_in": "header", "field": "x-tenant-id"},
                },
            }
        ],
    }


def test_an_option_wins_over_the_file_and_adds_to_its_attributes(run: Any, tmp_path: Path) -> None:
    intent = tmp_path / "intent.yaml"
    intent.write_text("ingest: konnect:eu\nbatch: 10\nattributes: {a: header:x-a}\nconfig: {timeout: 5000}\n")
    options = ["--ingest", "konnect:us", "--attribute", "query:b=b", "--set", "queue.max_entries=50"]
    ran = run("render", intent, "--format", "deck", *options)
    assert ran.code == 0, ran.err
    config = yaml.safe_load(ran.out)["plugins"][0]["config"]
    assert config["ingest_endpoint"] == KONNECT
    assert [attribute["source"] for attribute in config["attributes"]] == ["header", "query"]
    assert config["queue"] == {"max_batch_size": 10, "max_entries": 50}
    assert config["timeout"] == 5000


VENDOR_EXAMPLE = """\
config:
  ingest_endpoint: ${ingest-endpoint}
  api_token: ${auth-token}
  subject: {look_up_value_in: header, field: x-tenant-id}
  queue: {max_batch_size: 5, max_entries: 70}
variables:
  auth-token: {value: $AUTH_TOKEN}
  ingest-endpoint: {value: $INGEST_ENDPOINT}
"""


def test_an_option_wins_over_the_plugins_own_fields_in_the_file(run: Any, tmp_path: Path) -> None:
    intent = tmp_path / "intent.yaml"
    intent.write_text(VENDOR_EXAMPLE)
    options = ["--ingest", "konnect:us", "--token", "env:OTHER", "--subject", "consumer", "--batch", "10"]
    ran = run("render", intent, "--format", "deck", *options)
    assert ran.code == 0, ran.err
    assert yaml.safe_load(ran.out)["plugins"][0]["config"] == {
        "ingest_endpoint": KONNECT,
        "api_token": '${{ env "DECK_OTHER" }}',
        "subject": {"look_up_value_in": "consumer"},
        "queue": {"max_batch_size": 10, "max_entries": 70},
    }


def test_amb_an_option_wins_over_the_plugins_own_fields_in_the_file(run: Any, tmp_path: Path) -> None:
    intent = tmp_path / "intent.yaml"
    intent.write_text("plugin: amberflo\nconfig: {apiKey: '{vault://env/x}', meterApiName: a, customerHeader: x-a}\n")
    options = ["--meter-name", "calls", "--token", "env:KEY", "--subject", "header:x-b"]
    ran = run("render", intent, "--format", "deck", *options)
    assert ran.code == 0, ran.err
    assert yaml.safe_load(ran.out)["plugins"][0]["config"] == {
        "apiKey": '${{ env "DECK_KEY" }}',
        "meterApiName": "calls",
        "customerHeader": "x-b",
    }


def test_attributes_by_option_and_in_config_are_refused_rather_than_one_of_them_lost(
    run: Any, tmp_path: Path
) -> None:
    intent = tmp_path / "intent.yaml"
    attribute = "{source: header, look_up_value_in: x-a, event_property_name: a}"
    intent.write_text(f"ingest: konnect:us\nconfig: {{attributes: [{attribute}]}}\n")
    assert run("render", intent, "--format", "deck").code == 0
    ran = run("render", intent, "--format", "deck", "--attribute", "header:x-b=b")
    assert (ran.code, ran.out) == (2, "")
    assert "--attribute: config has attributes too" in ran.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ingest", "konnect:us", "--subject", "header"], "--subject: which header is not said"),
        (["--ingest", "konnect:usa"], "--ingest: Konnect has no region 'usa'"),
        (["--ingest", "konnect:us", "--scope", "group=x"], "--scope: 'group' is no scope of this plugin"),
        (
            ["--ingest", "konnect:us", "--batch", "0"],
            "--batch: /config/queue/max_batch_size: expected a value between",
        ),
        (["--ingest", "konnect:us", "--tag", "a,b"], "--tag: /tags/0: is not in the form expected"),
        (
            ["--ingest", "konnect:us", "--set", "config.timeout=a"],
            "--set timeout: /config/timeout: expected a number",
        ),
        (["--ingest", "konnect:us", "--set", "quee.x=1"], "unknown field 'quee' (did you mean 'queue'?)"),
        (["--ingest", "konnect:us", "-o", ""], "-o: name a file"),
        (["--ingest", "konnect:us", "--token", "env:A", "--token-file", "b"], "either --token or --token-file"),
        (["--ingest", "konnect:us", "--set", "queue"], "--set: write PATH=VALUE"),
        (["--ingest", "konnect:us", "--attribute", "x-a=a"], "--attribute: 'x-a' is no source of a value here"),
        (["--ingest", "konnect:us", "--attribute", "x-a"], "write SOURCE=PROPERTY"),
        (
            ["--ingest", "konnect:us", "--status", "200-299", "--gateway", "3.15"],
            "it is there from gateway 3.16 on",
        ),
        (["--plugin", "amberflo"], "which meter the requests count on is not said"),
        (["--ingest", "konnect:us", "--admin-url", "localhost"], "--admin-url is not an absolute http(s) URL"),
        ([], "say what you want"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_option(run: Any, options: list[str], message: str) -> None:
    ran = run("render", "--format", "deck", *options)
    assert ran.code == 2
    assert ran.out == ""
    (line,) = ran.err.splitlines()
    assert message in line


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("batch: 0", ":2: /batch: expected a value between 1 and 1000000"),
        ("token: spat_4f1d0c", ":2: /token: is a secret, given as a literal"),
        ("config: {queue: {max_entries: 0}}", ":2: /config/queue/max_entries: expected a value between"),
        ("instance_name: a b", ":2: /instance_name: is not in the form expected"),
    ],
)
def test_a_mistake_in_the_file_is_pointed_at_where_it_stands(
    run: Any, tmp_path: Path, line: str, message: str
) -> None:
    intent = tmp_path / "intent.yaml"
    intent.write_text(f"ingest: konnect:us\n{line}\n")
    ran = run("render", intent, "--format", "deck")
    assert ran.code == 2
    assert f"{intent}{message}" in ran.err
    assert SECRET not in ran.err


def test_the_version_comes_from_the_file_unless_an_option_names_another(run: Any, tmp_path: Path) -> None:
    intent = tmp_path / "intent.yaml"
    intent.write_text('ingest: konnect:us\nstatus: ["200-299"]\ngateway: "3.15"\n')
    assert "does not exist in gateway 3.15" in run("render", intent, "--format", "deck").err
    assert run("render", intent, "--format", "deck", "--gateway", "3.16").code == 0


def test_either_one_format_or_all_must_be_asked_for(run: Any, tmp_path: Path) -> None:
    intent = ["--ingest", "konnect:us"]
    assert run("render", *intent).code == 2
    assert run("render", *intent, "--format", "deck", "--all").code == 2
    assert "give -o FOLDER" in run("render", *intent, "--all").err


def test_gen_3_a_token_is_not_taken_from_an_option_and_not_repeated(run: Any) -> None:
    ran = run("render", "--format", "deck", "--ingest", "konnect:us", "--token", SECRET)
    assert ran.code == 2
    assert SECRET not in ran.err
    assert "--token-file" in ran.err


@pytest.mark.parametrize(
    "options",
    [
        ["--set", f"api_token={SECRET}"],
        ["--set", f"config.api_token={SECRET}"],
        ["--ingest", f"https://{SECRET}@meter.example.com/events"],
        ["--ingest", f"https://me:{SECRET}@meter.example.com/events"],
        ["--set", f"ingest_endpoint=https://me:{SECRET}@meter.example.com/events"],
    ],
)
def test_gen_3_no_secret_is_taken_from_an_argument_even_when_literals_are_allowed(
    run: Any, options: list[str]
) -> None:
    ran = run("render", "--format", "deck", "--ingest", "konnect:us", "--allow-literal-secrets", *options)
    assert (ran.code, ran.out) == (2, "")
    assert "a secret in an argument is for all on the machine to read" in ran.err
    assert SECRET not in ran.err


def test_gen_3_a_token_in_the_url_is_a_secret_without_a_password_too(run: Any, tmp_path: Path) -> None:
    intent = tmp_path / "intent.yaml"
    intent.write_text(f"ingest: https://{SECRET}@meter.example.com/events\n")
    ran = run("render", intent, "--format", "deck")
    assert ran.code == 2
    assert f"{intent}:1: /ingest: is a secret, given as a literal" in ran.err
    assert run("render", intent, "--format", "deck", "--allow-literal-secrets").code == 0


def test_a_vault_in_a_field_that_is_not_looked_up_is_told_apart_from_a_literal(run: Any) -> None:
    ran = run("render", "--format", "deck", "--plugin", "amberflo", "--meter-name", "m", "--token", "vault:env/key")
    assert ran.code == 2
    assert "--token: /config/apiKey: is a vault reference in a field in which the gateway looks up none" in ran.err


def test_a_token_file_holds_the_token_alone(run: Any, tmp_path: Path) -> None:
    token = tmp_path / "token"
    arguments = ["render", "--format", "deck", "--ingest", "konnect:us", "--allow-literal-secrets"]
    token.write_bytes(b"\xef\xbb\xbf" + SECRET.encode() + b"\r\n")
    ran = run(*arguments, "--token-file", token)
    assert yaml.safe_load(ran.out)["plugins"][0]["config"]["api_token"] == SECRET
    for content, message in [(f"{SECRET}\nmore\n", "has several lines"), ("\n", "is empty")]:
        token.write_text(content)
        ran = run(*arguments, "--token-file", token)
        assert ran.code == 2
        assert message in ran.err
        assert SECRET not in ran.err


@pytest.mark.parametrize("format_name", [name for name in FORMAT_NAMES if name != "kong-conf"])
def test_gen_3_a_literal_token_is_written_only_when_asked_for(run: Any, tmp_path: Path, format_name: str) -> None:
    token = tmp_path / "token"
    token.write_text(f"{SECRET}\n")
    arguments = ["render", "--format", format_name, "--ingest", "konnect:us", "--token-file", token, "-o", "-"]
    refused = run(*arguments)
    assert refused.code == 2
    assert "/config/api_token: is a secret, given as a literal" in refused.err
    assert SECRET not in refused.err + refused.out
    allowed = run(*arguments, "--allow-literal-secrets")
    assert allowed.code == 0, allowed.err
    assert SECRET in allowed.out


@pytest.mark.parametrize("format_name", [name for name in FORMAT_NAMES if name != "kong-conf"])
def test_gen_4_the_same_intent_gives_the_same_bytes(run: Any, format_name: str) -> None:
    arguments = ["render", "--format", format_name, "--ingest", "konnect:us", "--scope", "service=orders"]
    first = run(*arguments)
    assert first.code == 0, first.err
    assert run(*arguments).out == first.out


def test_all_writes_each_format_into_a_folder_of_its_own(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = run("render", "--all", "-o", out, "--ingest", "konnect:us", "--scope", "service=orders")
    assert (ran.code, ran.err, ran.out) == (0, "", "")
    assert {folder.name for folder in out.iterdir()} == set(FORMAT_NAMES) - {"kong-conf"}
    assert all(any(folder.iterdir()) for folder in out.iterdir())


def test_all_tells_what_it_leaves_out_and_why(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    condition = 'http.method == "GET"'
    ran = run("render", "--all", "-o", out, "--ingest", "konnect:us", "--condition", condition)
    assert ran.code == 1
    assert "left out: kic cannot express condition" in ran.err
    assert not (out / "kic").exists()
    assert (out / "deck").exists()


def test_what_a_format_cannot_express_is_refused_by_name_and_nothing_is_written(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "plugin.yaml"
    condition = 'http.method == "GET"'
    ran = run("render", "--format", "kic", "--ingest", "konnect:us", "--condition", condition, "-o", out)
    assert ran.code == 2
    assert "kic cannot express condition" in ran.err
    assert not out.exists()


def test_a_format_of_several_files_goes_into_a_folder(run: Any, tmp_path: Path) -> None:
    arguments = ["render", "--format", "kong-conf", "--plugin", "amberflo", "--meter-name", "calls"]
    assert "give a folder" in run(*arguments, "-o", tmp_path / "one.conf").err
    assert run(*arguments, "-o", f"{tmp_path}/amberflo/").code == 0
    assert (tmp_path / "amberflo" / "kong.conf").read_text() == (
        "plugins = bundled,amberflo\n\npluginserver_names = amberflo\n\n"
        "pluginserver_amberflo_start_cmd = /usr/local/bin/amberflo\n"
        "pluginserver_amberflo_query_cmd = /usr/local/bin/amberflo -dump\n"
    )
    steps = (tmp_path / "amberflo" / "install.sh").read_text().splitlines()
    assert steps[-3:] == [
        "GOBIN=/tmp go install github.com/amberflo/kong-plugin-amberflo@latest",
        "mv /tmp/kong-plugin-amberflo /usr/local/bin/amberflo",
        "kong restart",
    ]


def test_the_bundled_plugin_needs_no_installation(run: Any) -> None:
    ran = run("render", "--format", "kong-conf", "--ingest", "konnect:us")
    assert ran.code == 2
    assert "metering-and-billing is bundled with the gateway" in ran.err


# ------------------------------------------------------------------------------------------------------- validate


def test_a_sound_file_passes_and_a_wrong_one_is_pointed_at(run: Any, state: Path) -> None:
    ran = run("validate", state)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "1 metering plugin in 1 file: gateway 3.16 takes all of it\n"
    state.write_text(STATE.replace("api_token", "auth_token"))
    ran = run("validate", state)
    assert ran.code == 1
    assert f"{state}:10: /config/auth_token: unknown field 'auth_token'" in ran.out
    assert "write 'api_token' instead" in ran.out
    assert SECRET not in ran.out


def test_validation_is_that_of_the_version_asked_for(run: Any, state: Path) -> None:
    state.write_text(STATE + "      allow_status_codes: ['200-299']\n")
    assert run("validate", state).code == 0
    ran = run("validate", state, "--gateway", "3.15")
    assert ran.code == 1
    assert f"{state}:12: /config/allow_status_codes" in ran.out


def test_the_verdict_as_json(run: Any, state: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(STATE.replace("      subject", "      timeout: soon\n      subject"))
    ran = run("validate", "--json", state, broken)
    assert ran.code == 1
    verdict = json.loads(ran.out)
    assert verdict["valid"] is False
    assert [len(file["plugins"][0]["problems"]) for file in verdict["files"]] == [0, 1]
    (problem,) = verdict["files"][1]["plugins"][0]["problems"]
    assert (problem["pointer"], problem["line"]) == ("/config/timeout", 11)


def test_files_without_a_metering_plugin_are_wrong_only_when_no_file_has_one(
    run: Any, state: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text('_format_version: "3.0"\nplugins: [{name: key-auth}]\n')
    assert run("validate", state, other).code == 0
    ran = run("validate", other)
    assert ran.code == 1
    assert "no metering plugin in 1 file" in ran.out


def test_an_unreadable_file_is_exit_2_and_the_others_are_still_checked(run: Any, state: Path, tmp_path: Path) -> None:
    ran = run("validate", tmp_path / "missing.yaml", state)
    assert ran.code == 2
    assert "missing.yaml: cannot be read" in ran.out
    assert "1 metering plugin in 2 files" in ran.out


def test_a_field_the_gateway_knows_and_the_emulator_does_not_is_sound(run: Any, state: Path) -> None:
    state.write_text(STATE.replace("    config:", "    partials: [{id: x}]\n    config:"))
    assert run("validate", state).code == 0


def test_a_value_filled_in_later_is_taken_to_be_right(run: Any, state: Path) -> None:
    text = STATE.replace(KONNECT, '${{ env "DECK_INGEST" }}').replace(SECRET, '"${{ env "DECK_TOKEN" }}"')
    state.write_text(text + '      timeout: ${{ env "DECK_TIMEOUT" | toInt }}\n')
    ran = run("validate", state)
    assert ran.code == 0, ran.out


def a_thousand_plugins() -> str:
    lines = ['_format_version: "3.0"', "plugins:"]
    for number in range(1000):
        lines += [
            "- name: metering-and-billing",
            f"  route: route-{number}",
            f"  instance_name: metering-{number}",
            "  config:",
            f"    ingest_endpoint: {KONNECT}",
            '    api_token: ${{ env "DECK_AUTH_TOKEN" }}',
            "    subject: {look_up_value_in: header, field: x-tenant-id}",
            "    queue: {max_batch_size: 100, max_coalescing_delay: 1, max_entries: 50000}",
            "    attributes:",
            "    - {source: header, look_up_value_in: x-department, event_property_name: department}",
        ]
    return "\n".join(lines) + "\n"


def test_a_thousand_instances_cost_little_more_than_reading_their_yaml(run: Any, tmp_path: Path) -> None:
    """Reading the file with the pure Python loader of PyYAML is the yardstick."""
    path = tmp_path / "thousand.yaml"
    path.write_text(a_thousand_plugins())
    run("validate", path)  # what is imported and compiled once is not counted
    begun = time.process_time()
    yaml.load(path.read_text(), yaml.SafeLoader)
    yardstick = time.process_time() - begun
    begun = time.process_time()
    ran = run("validate", path)
    assert "1000 metering plugins" in ran.out
    assert time.process_time() - begun < yardstick


# -------------------------------------------------------------------------------------------------------- convert


def test_gen_3_converting_turns_a_literal_token_into_a_variable(run: Any, state: Path) -> None:
    ran = run("convert", state, "--format", "deck")
    assert ran.code == 0, ran.err
    assert yaml.safe_load(ran.out)["plugins"] == [
        {
            "name": "metering-and-billing",
            "service": "orders",
            "config": {
                "ingest_endpoint": KONNECT,
                "api_token": '${{ env "DECK_AUTH_TOKEN" }}',
                "subject": {"look_up_value_in": "consumer"},
            },
        }
    ]
    assert SECRET not in ran.err + ran.out
    assert f"{state}:10: /config/api_token: stands there as a literal: a variable takes its place" in ran.err
    assert "1 other plugin, which does not meter, is left out" in ran.err


def test_converting_keeps_a_literal_token_when_asked_for(run: Any, state: Path) -> None:
    assert SECRET in run("convert", state, "--format", "deck", "--allow-literal-secrets").out


def test_different_literal_tokens_become_different_variables(run: Any, state: Path) -> None:
    second = STATE.split("  plugins:\n")[1].replace("  - name: key-auth\n", "").replace(SECRET, "another")
    state.write_text(STATE + "plugins:\n" + second.replace("\n  ", "\n").removeprefix("  "))
    ran = run("convert", state, "--format", "deck")
    assert ran.code == 0, ran.err
    tokens = [plugin["config"]["api_token"] for plugin in yaml.safe_load(ran.out)["plugins"]]
    assert tokens == ['${{ env "DECK_AUTH_TOKEN" }}', '${{ env "DECK_AUTH_TOKEN_2" }}']


def test_a_variable_that_the_file_has_already_is_none_for_a_literal(run: Any, tmp_path: Path) -> None:
    state = tmp_path / "kong.yaml"
    tokens = ["'${{ env \"DECK_AUTH_TOKEN\" }}'", "'${{ env \"DECK_AUTH_TOKEN_2\" }}'", SECRET]
    plugin = "- {{name: metering-and-billing, service: s{}, config: {{ingest_endpoint: {}, api_token: {}}}}}\n"
    items = [plugin.format(number, KONNECT, token) for number, token in enumerate(tokens)]
    state.write_text('_format_version: "3.0"\nplugins:\n' + "".join(items))
    ran = run("convert", state, "--format", "deck")
    assert ran.code == 0, ran.err
    converted = [plugin["config"]["api_token"] for plugin in yaml.safe_load(ran.out)["plugins"]]
    assert converted == [f'${{{{ env "DECK_AUTH_TOKEN{ending}" }}}}' for ending in ("", "_2", "_3")]


def test_a_url_with_credentials_is_not_converted_unasked(run: Any, state: Path) -> None:
    state.write_text(STATE.replace("https://us", f"https://me:{SECRET}@us"))
    ran = run("convert", state, "--format", "deck")
    assert (ran.code, ran.out) == (2, "")
    assert f"{state}:9: /config/ingest_endpoint: is a secret, given as a literal" in ran.err
    assert SECRET not in ran.err
    assert run("convert", state, "--format", "deck", "--allow-literal-secrets").code == 0


def test_what_stands_around_the_plugins_and_is_not_converted_is_told(run: Any, state: Path, tmp_path: Path) -> None:
    state.write_text("_workspace: blue\n_info: {select_tags: [team-a]}\n" + STATE)
    told = run("convert", state, "--format", "terraform", "-o", tmp_path / "main.tf").err.splitlines()
    assert f"kong-metering: {state}:1: /_workspace: says which workspace the plugins go to" in told[0]
    assert f"kong-metering: {state}:2: /_info/select_tags: gives tags to every plugin" in told[1]
    terraform = tmp_path / "main.tf"
    text = terraform.read_text()
    terraform.write_text(text.replace("  enabled = true\n", "  count   = 2\n  enabled = true\n"))
    assert terraform.read_text() != text
    assert "/count: says how many plugins" in run("convert", terraform, "--format", "deck").err


def test_a_manifest_that_attaches_nothing_needs_a_scope_to_be_converted(
    run: Any, state: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "plugin.yaml"
    assert run("convert", state, "--format", "kic", "-o", manifest).code == 0
    ran = run("convert", manifest, "--format", "deck")
    assert (ran.code, ran.out) == (2, "")
    assert "is attached to nothing: say with --scope" in ran.err
    assert run("convert", manifest, "--format", "deck", "--scope", "service=orders").code == 0


def test_a_file_that_is_wrong_is_not_converted(run: Any, state: Path) -> None:
    state.write_text(STATE.replace("api_token", "auth_token"))
    ran = run("convert", state, "--format", "deck")
    assert (ran.code, ran.out) == (1, "")
    assert f"{state}:10: /config/auth_token" in ran.err


def test_an_id_is_left_out_and_told_unless_it_is_to_be_kept(run: Any, state: Path) -> None:
    own = "7b5d0b8e-2b1e-4b1c-9f8e-0a3b4c5d6e7f"
    state.write_text(STATE.replace("    config:", f"    id: {own}\n    config:"))
    ran = run("convert", state, "--format", "kic")
    assert ran.code == 0, ran.err
    assert own not in ran.out
    assert f"{state}:8: /id: is left out" in ran.err
    assert own in run("convert", state, "--format", "deck", "--keep-ids").out
    assert "kic cannot express id" in run("convert", state, "--format", "kic", "--keep-ids").err


CONVERTIBLE = ("deck", "dbless", "admin-api", "konnect-api", "kic", "kong-operator", "terraform")
SUFFIX = {"admin-api": ".sh", "konnect-api": ".sh", "terraform": ".tf"}


@pytest.mark.parametrize("there", CONVERTIBLE)
def test_what_is_converted_there_and_back_is_what_it_was(run: Any, tmp_path: Path, there: str) -> None:
    first = tmp_path / "first.yaml"
    options = ["--ingest", "konnect:us", "--subject", "header:x-tenant-id", "--attribute", "header:x-plan=plan"]
    options += ["--batch", "100", "--delay", "0.5", "--scope", "service=orders", "--tag", "billing"]
    assert run("render", "--format", "deck", *options, "-o", first).code == 0
    middle = tmp_path / f"middle{SUFFIX.get(there, '.yaml')}"
    ran = run("convert", first, "--format", there, "-o", middle)
    assert ran.code == 0, ran.err
    ran = run("convert", middle, "--format", "deck", "--scope", "service=orders")
    assert ran.code == 0, ran.err
    back = yaml.safe_load(ran.out)
    token = back["plugins"][0]["config"].pop("api_token")
    expected = yaml.safe_load(first.read_text())
    expected["plugins"][0]["config"].pop("api_token")
    assert back == expected
    assert token == ("{vault://env/auth-token}" if there == "dbless" else '${{ env "DECK_AUTH_TOKEN" }}')


# -------------------------------------------------------------------------------------------------------- formats


def test_the_formats_are_listed_with_what_each_cannot_express(run: Any) -> None:
    ran = run("formats")
    assert ran.code == 0
    assert all(any(line.startswith(name) for line in ran.out.splitlines()) for name in FORMAT_NAMES)
    listed = {each["name"]: each for each in json.loads(run("formats", "--json").out)}
    assert tuple(listed) == FORMAT_NAMES
    assert "condition" in {limit["field"] for limit in listed["kic"]["cannot_express"]}


# ------------------------------------------------------------------------------------------------- standard input


def test_a_configuration_is_read_from_standard_input(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(STATE.replace("api_token", "auth_token").encode())))
    ran = run("validate", "-")
    assert ran.code == 1
    assert "standard input:10: /config/auth_token" in ran.out


# ------------------------------------------------------------------------------------------------- Konnect's region


@pytest.mark.parametrize(("options", "region"), [([], "eu"), (["--region", "au"], "au")])
def test_the_control_plane_is_in_the_region_of_the_ingest_endpoint_unless_said_otherwise(
    run: Any, options: list[str], region: str
) -> None:
    arguments = ["--ingest", "konnect:eu", *options]
    assert (
        f'server_url            = "https://{region}.api.konghq.com/"'
        in run("render", "--format", "terraform", *arguments).out
    )
    assert f"https://{region}.api.konghq.com/v2/" in run("render", "--format", "konnect-api", *arguments).out
