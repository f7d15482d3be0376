"""Secrets are taken out of a gateway's log, ordinary words are not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.targets.redaction import Redaction

SECRETS = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="*"), min_size=4, max_size=30
)


@settings(max_examples=200, derandomize=True)
@given(st.lists(SECRETS, min_size=1, max_size=4), st.lists(st.text(max_size=20), min_size=5, max_size=5))
def test_no_secret_of_a_configuration_is_left_in_a_text(secrets: list[str], words: list[str]) -> None:
    redaction = Redaction()
    plugins = [{"name": "metering-and-billing", "config": {"api_token": secret}} for secret in secrets]
    redaction.learn_state({"plugins": plugins})
    text = "".join(part for pair in zip(words, [*secrets, ""], strict=False) for part in pair)
    shown = redaction(text)
    assert not any(secret in shown for secret in secrets)


def test_keys_of_consumers_are_secrets_of_a_configuration_too() -> None:
    redaction = Redaction()
    redaction.learn_state({"consumers": [{"username": "alice", "keyauth_credentials": [{"key": "alice-key"}]}]})
    assert redaction("alice came with alice-key") == "alice came with ****"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("Authorization: Bearer abc.def", "Authorization: Bearer ****"),
        ('{"api_token":"abc"}', '{"api_token":"****"}'),
        ("GET /x?apikey=abc&page=2", "GET /x?apikey=****&page=2"),
        ("the key idea of a token bucket", "the key idea of a token bucket"),
        ("start worker process 1277", "start worker process 1277"),
    ],
)
def test_what_looks_like_a_secret_is_hidden_and_other_lines_stay(line: str, shown: str) -> None:
    assert Redaction()(line) == shown


def test_a_secret_of_a_configuration_that_is_gone_stays_hidden() -> None:
    redaction = Redaction()
    redaction.learn_state({"plugins": [{"config": {"api_token": "first-token"}}]})
    redaction.learn_state({"plugins": [{"config": {"api_token": "second-token"}}]})
    assert redaction("first-token second-token") == "**** ****"
