"""The pinhole camera. The one place where conventions live.

- Object frame: the coordinates of the ``.obj`` file (ShapeNet: +Y up, -Z front).
- Camera frame: OpenCV axes, x right, y down, z forward. ``x_cam = R x_obj + t``.
- Pixel (u, v) is (column, row); the centre of the integer pixel (u, v) lies at (u + 0.5, v + 0.5).
- Depth is planar z in object units, not ray length.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["CONVENTIONS", "Camera", "Window"]

FloatArray = NDArray[np.float64]
Window = tuple[int, int, int, int]
"""A part of an image, pixels: left, top, right, bottom, the last two exclusive."""

CONVENTIONS = {
    "object_frame": "coordinates of the vertices in the .obj file; "
    "ShapeNet: +Y up, -Z front; not centred",
    "camera_frame": "OpenCV: x right, y down, z forward; "
    "x_cam = R x_obj + t, cam_from_obj = [R t; 0 1]",
    "pixel": "(u, v) = (column, row); the centre of pixel (u, v) is at (u + 0.5, v + 0.5)",
    "depth": "planar z in object units, float32; 0 where nothing is hit",
    "points": "object frame, farthest point order: "
    "points[:n] is the farthest point sample of size n",
    "colour": "sRGB, 8 bit",
}
"""The conventions in words; every file that the project writes carries them."""


def _cross(a: FloatArray, b: FloatArray) -> FloatArray:
    """Compute a cross product, (3,), five times as fast as `np.cross`."""
    (ax, ay, az), (bx, by, bz) = a.tolist(), b.tolist()
    return np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])


@dataclass(frozen=True, eq=False)
class Camera:
    """A calibrated view of an object: intrinsics, pose and image size. Immutable.

    Attributes
    ----------
    intrinsics : (3, 3) float64, pixels; K of equation 1
    cam_from_obj : (4, 4) float64, object units; [R t; 0 1] of equation 1
    width, height : image size in pixels

    Raises
    ------
    ValueError : a shape, a K that is no calibration matrix or an R that is no rotation

    Examples
    --------
    >>> camera = Camera.from_fov(40, 224, 224).look_at(eye=(0, 0, 2), target=(0, 0, 0))
    >>> uv, depth = camera.project([0, 0, 0])
    >>> uv.tolist(), float(depth)
    ([112.0, 112.0], 2.0)
    """

    intrinsics: FloatArray
    cam_from_obj: FloatArray
    width: int
    height: int

    def __post_init__(self) -> None:
        for name, shape in (("intrinsics", (3, 3)), ("cam_from_obj", (4, 4))):
            array = np.array(getattr(self, name), dtype=np.float64)
            if array.shape != shape or not np.isfinite(array).all():
                raise ValueError(f"{name} must be a finite {shape} matrix, got {array.tolist()}")
            # an array of our own: a later change of the caller's must not reach the camera
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if self.width < 1 or self.height < 1:
            raise ValueError(f"image size must be positive, got {self.width} x {self.height}")
        # K: upper triangular, focal lengths positive; R: orthonormal, right-handed
        k, rotation = self.intrinsics, self.rotation
        if k[0, 0] <= 0 or k[1, 1] <= 0 or k[1, 0] != 0 or k[2].tolist() != [0, 0, 1]:
            raise ValueError(
                f"intrinsics must be upper triangular with positive focal lengths, got {k.tolist()}"
            )
        if self.cam_from_obj[3].tolist() != [0, 0, 0, 1]:
            raise ValueError(
                f"the last row of cam_from_obj must be 0 0 0 1, got {self.cam_from_obj[3].tolist()}"
            )
        if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-9 or np.linalg.det(rotation) < 0:
            raise ValueError(
                f"cam_from_obj must hold a rotation with determinant +1, got {rotation.tolist()}"
            )

    @classmethod
    def from_fov(cls, fov: float, width: int, height: int) -> Camera:
        """Make a camera at the origin: square pixels, central principal point.

        Parameters
        ----------
        fov : full angle of view over the shorter side of the image, degrees, in (0, 180)
        width, height : pixels
        """
        if not 0 < fov < 180:
            raise ValueError(f"the field of view must lie between 0 and 180 degrees, got {fov}")
        focal = min(width, height) / 2 / math.tan(math.radians(fov) / 2)
        intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
        return cls(intrinsics, np.eye(4), width, height)

    def look_at(self, eye: ArrayLike, target: ArrayLike, up: ArrayLike = (0, 1, 0)) -> Camera:
        """Return the same camera placed at `eye`, its optical axis through `target`.

        Parameters
        ----------
        eye, target : (3,) float, object frame
        up : (3,) float, object frame; points up in the image. Where it is parallel to the view,
            the object's z axis takes its place (or x, if that is parallel, too).

        Raises
        ------
        ValueError : eye and target coincide
        """
        eye, target = np.asarray(eye, dtype=np.float64), np.asarray(target, dtype=np.float64)
        length = float(np.linalg.norm(target - eye))
        if length == 0:
            raise ValueError(f"eye and target coincide at {eye.tolist()}")
        forward = (target - eye) / length
        for candidate in (
            np.asarray(up, dtype=np.float64),
            np.array([0.0, 0, 1]),
            np.array([1.0, 0, 0]),
        ):
            right = _cross(forward, candidate)
            if np.linalg.norm(right) > 1e-6 * np.linalg.norm(candidate):
                break
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3, :3] = [right, _cross(forward, right), forward]
        pose[:3, 3] = -pose[:3, :3] @ eye
        return dataclasses.replace(self, cam_from_obj=pose)

    def crop(self, window: Window) -> Camera:
        """Return the camera of a part of the image, with the same rays.

        Parameters
        ----------
        window : within the image

        Raises
        ------
        ValueError : an empty window
        """
        left, top, right, bottom = window
        if left >= right or top >= bottom:
            raise ValueError(f"the window {window} is empty")
        intrinsics = self.intrinsics.copy()
        intrinsics[:2, 2] -= left, top
        intrinsics.setflags(write=False)
        # a part of a valid camera is valid: not checked again, in a fifth of the time
        part = object.__new__(Camera)
        changed = {"intrinsics": intrinsics, "width": right - left, "height": bottom - top}
        part.__dict__.update(self.__dict__ | changed)
        part.__dict__.pop("ray_from_pixel", None)
        return part

    @property
    def rotation(self) -> FloatArray:
        """R, (3, 3) float64, of x_cam = R x_obj + t."""
        return self.cam_from_obj[:3, :3]

    @property
    def translation(self) -> FloatArray:
        """t, (3,) float64, object units, of x_cam = R x_obj + t."""
        return self.cam_from_obj[:3, 3]

    @cached_property
    def obj_from_cam(self) -> FloatArray:
        """(4, 4) float64, the inverse pose: x_obj = R^T (x_cam - t)."""
        inverse = np.eye(4)
        inverse[:3, :3] = self.rotation.T
        inverse[:3, 3] = -self.rotation.T @ self.translation
        inverse.setflags(write=False)
        return inverse

    @cached_property
    def ray_from_pixel(self) -> FloatArray:
        """Return R^T K^-1, (3, 3) float64: (u, v, 1) to its ray in the object frame, planar z 1."""
        matrix: FloatArray = self.rotation.T @ np.linalg.inv(self.intrinsics)
        matrix.setflags(write=False)
        return matrix

    @property
    def eye(self) -> FloatArray:
        """(3,) float64, the camera's centre in the object frame."""
        return self.obj_from_cam[:3, 3]

    def project(self, points: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Project points into the image: s [u, v, 1]^T = K [R | t] [x, y, z, 1]^T (equation 1).

        Parameters
        ----------
        points : (..., 3) float, object frame

        Returns
        -------
        uv : (..., 2) float64, pixels; the pixel that a point falls in is ``floor(uv)``
        depth : (...) float64, planar z, object units; not positive for points behind the camera
        """
        cam = np.asarray(points, dtype=np.float64) @ self.rotation.T + self.translation
        depth = cam[..., 2]
        uvw = cam @ self.intrinsics.T
        with np.errstate(divide="ignore", invalid="ignore"):
            return uvw[..., :2] / depth[..., None], depth

    def unproject(self, uv: ArrayLike, depth: ArrayLike) -> FloatArray:
        """Lift image positions to points; the inverse of `project`.

        Parameters
        ----------
        uv : (..., 2) float, pixels; the centre of the integer pixel p is ``p + 0.5``
        depth : (...) float, planar z, object units

        Returns
        -------
        points : (..., 3) float64, object frame
        """
        uv = np.asarray(uv, dtype=np.float64)
        rays = (
            np.concatenate([uv, np.ones_like(uv[..., :1])], axis=-1)
            @ np.linalg.inv(self.intrinsics).T
        )
        cam = rays * np.asarray(depth, dtype=np.float64)[..., None]
        points: FloatArray = (cam - self.translation) @ self.rotation
        return points

    def unproject_image(
        self, depth: NDArray[np.floating[Any]]
    ) -> tuple[FloatArray, NDArray[np.int64]]:
        """Lift the centre of every pixel with depth to a point.

        Parameters
        ----------
        depth : (H, W), planar z, object units, 0 = background

        Returns
        -------
        points : (M, 3) float64, object frame; pixels : (M, 2) int64, (u, v) = (column, row); row
            after row

        Raises
        ------
        ValueError : depth and camera differ in size, or depth is negative or not finite
        """
        if depth.shape != (self.height, self.width):
            raise ValueError(
                f"depth is {depth.shape}, the camera's image {(self.height, self.width)}"
            )
        if not (np.isfinite(depth).all() and (depth >= 0).all()):
            raise ValueError("depth must be finite and not negative")
        # (M,) each, row after row; a pixel's ray goes through its centre
        rows, columns = np.nonzero(depth)
        pixels = np.stack([columns, rows], axis=1)
        return self.unproject(pixels + 0.5, depth[rows, columns]), pixels
