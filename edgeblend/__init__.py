"""edgeblend: BlendMask instance segmentation on edge devices."""
