"""Instances drawn over frames, for looking at: pictures and videos."""
