"""Names in OpenVINO's graphs that do not depend on what else a process has made."""

from __future__ import annotations

import re

import openvino as ov


def name_the_nameless(model: ov.Model) -> None:
    """Name nodes without a name by their place in the graph, so that equal graphs make equal files.

    OpenVINO calls them by how many this process has made, such as Constant_841244.
    """
    for position, node in enumerate(model.get_ordered_ops()):
        kind = node.get_type_name()
        if re.fullmatch(rf"{kind}_\d+", node.get_friendly_name()):
            node.set_friendly_name(f"{kind}_{position}")
