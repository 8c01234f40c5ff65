"""The files of a model, read and repaired: OBJ, MTL and other formats."""
