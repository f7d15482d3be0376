"""The same traffic through several metering plugins: what each would bill, and why they differ."""
