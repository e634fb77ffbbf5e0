"""Stage 6: one look for every figure, and the figures: functions from numbers to a drawing."""
