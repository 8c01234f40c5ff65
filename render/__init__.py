"""ShapeNet V2 in, RGB-D views with calibrated cameras out."""
