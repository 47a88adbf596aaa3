"""Follows objects from frame to frame: who is who, in real time, through weak scores and short gaps."""

from streamdet.results.tracks.rule import TrackRule
from streamdet.results.tracks.tracker import Tracker

__all__ = ["TrackRule", "Tracker"]
