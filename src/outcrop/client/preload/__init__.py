"""Two libraries that show a program directories at places where nothing is: one stands in front of the C library's
calls, the other beside the loader."""
