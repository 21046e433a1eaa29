"""Instances drawn over their frames, and videos of such frames.

``draw`` draws one frame. ``StableColours`` lets an object keep its colour from frame to frame. ``VideoFile``
reads a video, and ``write_video`` writes one in the first codec that this machine's OpenCV has.
"""

from edgeblend.draw.overlay import Colour, draw, instance_colour
from edgeblend.draw.stable_colours import StableColours
from edgeblend.draw.video import CODECS, Codec, Video, VideoFile, write_video

__all__ = [
    "CODECS",
    "Codec",
    "Colour",
    "StableColours",
    "Video",
    "VideoFile",
    "draw",
    "instance_colour",
    "write_video",
]
