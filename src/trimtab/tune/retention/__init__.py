"""What a fine-tune loses on everything else: a suite of its own, answered with and without it."""
