"""Shards as other formats: one folder, filled row by row."""
