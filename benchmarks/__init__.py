"""Ratios of ours to a peer or to a limit, both measured in the same run. `python -m benchmarks [NAME...]`."""
