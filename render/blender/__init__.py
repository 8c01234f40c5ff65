"""The modules inside Blender: only they import bpy."""
