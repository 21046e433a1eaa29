"""Nothing that runs here tells others that it does.

OpenVINO and NNCF send an event when they are imported, through a package that writes an identifier into the
home folder and fails without one. ONNX Runtime 1.32 and later does the same by itself. This is said once per
process, before any of them is imported; an application that imported one earlier has decided for itself.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import cast

_PACKAGE = "openvino_telemetry"
"""What OpenVINO and NNCF send through; they do without where it is not installed."""
_VARIABLE = "ORT_DISABLE_TELEMETRY"


def switch_off_telemetry() -> None:
    """Have engines and toolkits that are imported from now on send nothing and note nothing."""
    os.environ.setdefault(_VARIABLE, "1")
    # None is how Python marks a module that is not to be imported.
    sys.modules.setdefault(_PACKAGE, cast(ModuleType, None))
