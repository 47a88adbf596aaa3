"""The network: from frames to detections (torch, never video)."""
