"""What two stages or more share: camera, settings, files, errors, processes, progress."""
