"""ONNX: exported by torch, quantized by NNCF, for ONNX Runtime."""
