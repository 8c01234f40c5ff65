"""Encoders of other methods, read as ours."""
