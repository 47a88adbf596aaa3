"""Cameras and streams: sources that come and go, and the outputs that follow them."""
