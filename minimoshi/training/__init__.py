"""Training on a laptop: the codec's teachers and its two halves."""
