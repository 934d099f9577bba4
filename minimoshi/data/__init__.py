"""Speech to learn from: voices, sentences, and the corpus made of them."""
