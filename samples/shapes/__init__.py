"""Builders of the samples, one module a kind of thing."""
