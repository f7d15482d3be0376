"""The journal of an emulated gateway: the life of each request, kept in a file, watched live, explained in a line."""
