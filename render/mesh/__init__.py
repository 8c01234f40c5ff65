"""The files of a model: OBJ, MTL and other formats, read and repaired."""
