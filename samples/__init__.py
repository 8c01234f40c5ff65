"""A small procedural ShapeNet in the native V2 layout, and small benchmarks: input of the demo, the tests and users."""
