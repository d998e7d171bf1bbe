"""Speed and memory against their bounds."""
