"""Images of a part of a repository: chosen, verified, and the same bytes whoever makes them."""
