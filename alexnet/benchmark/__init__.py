"""Speed: this package and its alternatives, measured side by side in one run."""
