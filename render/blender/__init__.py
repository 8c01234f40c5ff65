"""What runs inside Blender: the only modules that import bpy, loaded only in the worker process."""
