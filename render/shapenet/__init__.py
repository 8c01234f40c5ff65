"""ShapeNet on a disk: which models there are, which are chosen, what is wrong with them."""
