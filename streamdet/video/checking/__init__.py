"""Proves that an output covers its source: frames, times, pictures, sound, length."""
