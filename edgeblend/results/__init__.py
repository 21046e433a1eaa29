"""What the SDK returns for one frame: its instances as a handful of arrays, or one by one."""

from edgeblend.results.instance import Instance as Instance
from edgeblend.results.instances import LARGEST_FRAME as LARGEST_FRAME
from edgeblend.results.instances import LARGEST_MASK as LARGEST_MASK
from edgeblend.results.instances import Instances as Instances
from edgeblend.results.instances import SegmentationFormat as SegmentationFormat
