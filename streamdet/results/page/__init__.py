"""A page about a file of detections: counts over time, where objects were, what happened, and what was not covered."""
