"""OpenVINO IR: exported, quantized by NNCF, looked through for Intel's NPU."""
