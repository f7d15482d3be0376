"""The metering plugins that a load can go through: how each is configured, and what its requests become."""
