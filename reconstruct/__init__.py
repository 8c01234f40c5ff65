"""Depth to points that know their pixels; pure arrays."""
