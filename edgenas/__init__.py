"""edgenas: from labelled images to a small Pyramid Vision Transformer that is proven to fit an edge device."""

__version__ = "0.1.0"
