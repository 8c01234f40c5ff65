"""The inside of Blender: the only modules that import bpy, loaded by the worker alone."""
