"""What is said about detections: files that other programs read."""
