"""TFLite: exported by LiteRT Torch, quantized by AI Edge Quantizer."""
