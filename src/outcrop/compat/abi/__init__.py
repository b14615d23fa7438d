"""Whether a changed library still gives its users what they were built with."""
