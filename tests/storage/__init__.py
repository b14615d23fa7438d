"""Tests of the stores; `conformance` is the suite that each of them passes."""
