"""Weights as files: checkpoints and encoders of any origin, read without running code."""
