"""A capture in the browser: an index of its events in memory, and a server that answers one page from it."""
