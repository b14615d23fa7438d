"""Reading repositories: trust, cache, contents, tree, checkout."""
