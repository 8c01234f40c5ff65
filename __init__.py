"""ShapeNet3D-CMA: CAD models in, RGB-D views and pixel-indexed point clouds out, CrossAlignNet trained on them."""

__version__ = "0.1.0"
