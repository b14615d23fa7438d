"""Publishing: keys, the repository that one owns, and how a change becomes a signed revision."""
