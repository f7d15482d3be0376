"""Kong's licence: found, dated, and never quoted."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.targets.licence import LicenceError, find_licence, parse_licence
from harness.targets.redaction import Redaction


def licence(expires: str = "2027-01-31") -> str:
    payload = {
        "customer": "Example Customer Ltd",
        "license_expiration_date": expires,
        "license_key": "KEY-0123456789",
    }
    return json.dumps({"license": {"version": 1, "signature": "ab" * 40, "payload": payload}})


def test_a_licence_says_until_when_it_is_valid_and_that_day_counts() -> None:
    read = parse_licence(licence(), "here")
    assert read.expires == datetime.date(2027, 1, 31)
    assert read.valid(datetime.date(2027, 1, 31))
    assert not read.valid(datetime.date(2027, 2, 1))


def test_a_file_goes_before_the_variables_and_the_text_before_the_path(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(licence("2027-01-01"))
    (tmp_path / "b.json").write_text(licence("2027-02-02"))
    both = {"KONG_LICENSE_DATA": licence("2027-03-03"), "KONG_LICENSE_PATH": str(tmp_path / "b.json")}
    found = [
        find_licence(tmp_path / "a.json", both),
        find_licence(None, both),
        find_licence(None, {**both, "KONG_LICENSE_DATA": " "}),
    ]
    assert [one.expires.month if one else None for one in found] == [1, 3, 2]
    assert find_licence(None, {}) is None


@pytest.mark.parametrize(
    "text", ["", "no json", "[]", "{}", '{"license": []}', '{"license": {"payload": {"license_expiration_date": 5}}}']
)
def test_what_is_no_licence_is_one_line_with_its_origin(text: str) -> None:
    with pytest.raises(LicenceError, match=r"^the-file: is not a Kong licence: "):
        parse_licence(text, "the-file")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LicenceError, match=r"none\.json: cannot be read: No such file"):
        find_licence(tmp_path / "none.json", {})


@settings(max_examples=200, derandomize=True)
@given(st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZ23456789", min_size=12, max_size=40), st.booleans())
def test_no_message_and_no_repr_ever_quotes_a_licence(secret: str, broken: bool) -> None:
    text = licence().replace("KEY-0123456789", secret)
    if broken:
        with pytest.raises(LicenceError) as caught:
            parse_licence(text.replace("2027-01-31", secret), "f")
        assert secret not in str(caught.value)
    else:
        assert secret not in repr(parse_licence(text, "f"))


def test_every_telling_part_of_a_licence_is_hidden_in_a_log() -> None:
    read = parse_licence(licence(), "here")
    hide = Redaction(read.secrets())
    shown = hide(f"licence {read.text} of Example Customer Ltd, key KEY-0123456789, signed {'ab' * 40}; 3 workers")
    for part in ("Example Customer", "KEY-0123456789", "abab"):
        assert part not in shown
    assert shown.endswith("; 3 workers")
