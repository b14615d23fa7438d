"""The CernVM-FS format as values and rules, without files or sockets.

Plain values in, plain values out: digests and object names, the signed manifest and whitelist, catalogs,
history, reflog, chunking. SQLite databases are handed in as connections, so that the caller decides where
their bytes live. `docs/internals/format.md` has the rules in one place.
"""
