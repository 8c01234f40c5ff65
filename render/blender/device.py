"""The device of Cycles: a GPU, or else the CPU."""

from __future__ import annotations

from typing import Any

import bpy

from ..config import Device

__all__ = ["choose_device"]

_KINDS = ("OPTIX", "CUDA", "HIP", "METAL", "ONEAPI")  # in the order in which `auto` tries them


def choose_device(scene: Any, request: Device) -> str:
    """Have a scene rendered on a device.

    Parameters
    ----------
    scene : Blender's scene
    request : "auto" takes the first kind of GPU that is there; a kind that is not there falls back
        to the CPU

    Returns
    -------
    name : what renders, for people: "CPU", or the kind and the names of its devices; with the
        reason if it is not what was requested
    """
    scene.cycles.device = "CPU"
    if request == "cpu":
        return "CPU"
    preferences = bpy.context.preferences.addons["cycles"].preferences
    for kind in _KINDS if request == "auto" else (request.upper(),):
        devices = _devices(preferences, kind)
        if devices:
            for device in preferences.devices:
                device.use = device in devices
            scene.cycles.device = "GPU"
            return f"{kind}: {', '.join(device.name for device in devices)}"
    return (
        "CPU"
        if request == "auto"
        else f"CPU, as there is no {request.upper()} device that Blender can use here"
    )


def _devices(preferences: Any, kind: str) -> list[Any]:
    """Return the GPUs of a kind that Blender can use."""
    try:
        preferences.compute_device_type = kind
        preferences.get_devices_for_type(kind)
    except (TypeError, ValueError):
        return []
    return [device for device in preferences.devices if device.type == kind]
