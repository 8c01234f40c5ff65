"""ShapeNet on a disk: which models exist, which are chosen, what is wrong."""
