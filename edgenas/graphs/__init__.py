"""ONNX graphs as data: how they are typed, rewritten, quantised and read. No runtime, no PyTorch."""
