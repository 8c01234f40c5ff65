"""A small procedural ShapeNet in the native V2 layout."""
