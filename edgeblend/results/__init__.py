"""What the SDK returns for one frame: its instances as a handful of arrays, or one by one."""

from edgeblend.results.instance import Instance
from edgeblend.results.instances import LARGEST_FRAME, LARGEST_MASK, Instances, SegmentationFormat

__all__ = ["LARGEST_FRAME", "LARGEST_MASK", "Instance", "Instances", "SegmentationFormat"]
