"""From prepared images to batches: order, crops, reflections, colour, and views for evaluation."""
