"""Which header or parameter may have been meant."""

from __future__ import annotations

import pytest

from plugin_emulator.near_name import near_name


@pytest.mark.parametrize(
    ("wanted", "names", "near"),
    [
        ("x-tenant-id", ["host", "X-Tennant-Id"], "X-Tennant-Id"),
        ("x-tenant-id", ["accept", "x_tenant_id"], "x_tenant_id"),
        ("X-Tenant-ID", ["tenant-id", "x-tenantid"], "x-tenantid"),
        ("tenant", ["tenent", "limit"], "tenent"),
        ("x-tenant-id", ["host", "user-agent", "accept", "x-request-id", "x-customer-id", "apikey"], None),
        ("x-tenant-id", [], None),
        ("x-tenant-id", [""], None),
    ],
)
def test_only_a_name_that_is_nearly_alike_is_near(wanted: str, names: list[str], near: str | None) -> None:
    assert near_name(wanted, names) == near


def test_headers_that_the_gateway_adds_of_a_consumer_are_nobodys_mistake() -> None:
    assert near_name("x-customer-id", ["X-Consumer-ID", "x-consumer-username"]) is None
