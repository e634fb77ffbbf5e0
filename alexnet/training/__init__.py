"""The paper's update rule, the rate's schedule, checkpoints, and the loop."""
