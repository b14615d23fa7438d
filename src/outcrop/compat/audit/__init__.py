"""Care after release: which packages of a layer have known faults, and how badly."""
