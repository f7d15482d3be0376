"""What counts as a secret of a request, and where it is hidden."""

from __future__ import annotations

import pytest

from harness.capture.redaction import Secrets, is_secret_name, redacted, redacted_path


@pytest.mark.parametrize(
    "name",
    ["Authorization", "authorization ", "X-API-KEY", "x_api_key", "X-Amz-Security-Token", "client_secret", "Cookie"],
)
def test_a_name_that_says_so_is_one_of_a_secret(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    ["Host", "X-Kong-Request-Id", "Idempotency-Key", "Sec-WebSocket-Key", "x-author", "max-tokens", "X-Tokenizer"],
)
def test_other_names_are_not(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/events", "/events"),
        ("/events?a=1&page=2", "/events?a=1&page=2"),
        ("/events?api_key=s&b=2;token=t#sig=u", "/events?api_key=[redacted]&b=2;token=[redacted]#sig=[redacted]"),
        ("/events?api%5Fkey=s&key=", "/events?api%5Fkey=[redacted]&key="),
        ("https://me:pw@h/x?y=1", "https://[redacted]@h/x?y=1"),
        ("/cb#access_token=t", "/cb#access_token=[redacted]"),
    ],
)
def test_a_path_loses_the_values_of_secret_parameters_alone(path: str, shown: str) -> None:
    assert redacted_path(path) == shown


def test_userinfo_in_a_host_header_is_hidden() -> None:
    assert redacted([("Host", "a:b@h:1"), ("From", "a@h")]) == [("Host", "[redacted]@h:1"), ("From", "a@h")]


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (("Authorization", "Bearer abc/def+ghi"), "abc/def+ghi"),
        (("Authorization", "Bearer abc/def+ghi"), "abc%2Fdef%2Bghi"),
        (("Authorization", "Bearer abc/def+ghi"), "abc\\/def+ghi"),
        (("X-API-KEY", 'quote"and<sign'), 'quote\\"and<sign'),
        (("X-API-KEY", 'quote"and<sign'), "quote&quot;and&lt;sign"),
        (("Authorization", "Basic YWxpY2U6dmVyeS1zZWNyZXQ="), "very-secret"),
        (("Cookie", "a=b; sid=0123456789abcdef"), "0123456789abcdef"),
    ],
)
def test_a_secret_is_hidden_however_it_is_written(header: tuple[str, str], text: str) -> None:
    secrets = Secrets([header])
    assert secrets.hidden(b"<" + text.encode() + b">") == b"<[redacted]>"
    assert secrets.hidden_in_text(f"<{text}>") == "<[redacted]>"


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (("Authorization", "Bearer any"), b'{"path":"/anything","who":"company"}'),
        (("Cookie", "subject=customer-1"), b'{"subject":"customer-1"}'),
        (("X-API-KEY", "17672292"), b'{"meterTimeInMillis":1767229261001}'),
    ],
)
def test_what_may_be_part_of_an_event_is_left_in_it(header: tuple[str, str], body: bytes) -> None:
    assert Secrets([header]).hidden(body) is body


def test_secrets_of_the_query_are_hidden_decoded_and_as_they_came() -> None:
    secrets = Secrets([], "/x?a=1&token=abc%2Fdefgh")
    assert secrets.hidden(b"abc/defgh abc%2Fdefgh") == b"[redacted] [redacted]"
