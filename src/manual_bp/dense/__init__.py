"""Dense ops: affine maps and what is done over one axis of features."""
