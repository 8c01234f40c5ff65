"""The ground of all stages: camera, settings, outputs, errors, processes, progress."""
