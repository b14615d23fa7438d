"""Makes a tree that was built for one prefix run from another one: examined first, changed then, proven at last."""
