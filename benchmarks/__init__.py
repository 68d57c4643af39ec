"""Scripts that measure edgenas beside other ways, and write reports."""
