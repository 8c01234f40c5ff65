"""Builders of the sample models, one module for each kind of object."""
