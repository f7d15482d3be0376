"""The pytest plugin ``kong_metering``: fixtures for billing checks of one's own (docs/pytest.md)."""
