"""A small procedural ShapeNet in the layout of V2, and small benchmarks.

Input of the demo, the tests and users.
"""
