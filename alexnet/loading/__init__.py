"""From prepared pictures to batches: order, crops, reflections, colour, and views for evaluation."""
