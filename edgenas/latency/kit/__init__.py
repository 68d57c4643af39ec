"""Measuring a device that has no PyTorch: what is packed for it, the script that runs there, and what comes back.

The modules called ``script_*`` are joined into the kit's ``measure.py``. They need Python 3.8 and its library alone, and import
ONNX Runtime and NumPy where they use them; nothing of edgenas but each other.
"""
