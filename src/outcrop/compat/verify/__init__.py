"""Proof that a layer is what it promises: whole, working, and in need of nothing of the machine that it runs on."""
