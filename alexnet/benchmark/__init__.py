"""This package beside what people would otherwise use, measured side by side in one run."""
