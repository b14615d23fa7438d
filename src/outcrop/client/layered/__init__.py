"""A mount that the kernel shows by itself: the layers of the ladder's rung `erofs`, for everybody and for long."""
