"""Rubbish for every parser: from hypothesis in every run of the suite, guided by coverage in `make fuzz`."""
