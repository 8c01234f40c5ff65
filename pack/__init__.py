"""HDF5 shards: written, read, verified, looked at."""
