"""Measures from the sound itself: an independent listener, and the codec's report."""
