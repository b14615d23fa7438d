"""The compatibility layer: a small userland of its own below a prefix, from declared sets of packages."""
