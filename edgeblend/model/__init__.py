"""The BlendMask network in torch, its configs and its checkpoints."""
