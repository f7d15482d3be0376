"""What our parts cost, as ratios to a peer or a limit of the same run: ``python -m loadtests.benchmarks``."""
