"""Pretraining: plan, data, step, loop, log and the folder of a run."""
