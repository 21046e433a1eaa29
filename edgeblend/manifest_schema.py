"""The JSON schema of ``manifest.json``, made from the structs that read it.

    python -m edgeblend.manifest_schema > docs/manifest.schema.json

What fields must be to each other is not in it; ``docs/reference/bundle.md`` says that.
"""

from __future__ import annotations

import sys

import msgspec

from edgeblend.manifest import SCHEMA_VERSION, Manifest


def manifest_schema() -> bytes:
    """Return the schema (JSON Schema 2020-12) as indented JSON."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"edgeblend bundle manifest, schema version {SCHEMA_VERSION}",
        **msgspec.json.schema(Manifest),
    }
    return msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"


if __name__ == "__main__":
    sys.stdout.buffer.write(manifest_schema())
