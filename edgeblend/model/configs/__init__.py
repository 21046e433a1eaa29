"""The published BlendMask configs, as YAML files."""
