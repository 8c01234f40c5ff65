"""Readers of the benchmarks, one a data set."""
