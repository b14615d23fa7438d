"""Where objects live: a directory, S3, memory, an HTTP server; and a store that fails on purpose.

All of them speak the interface of `outcrop.storage.interface` and pass one conformance suite.
"""
