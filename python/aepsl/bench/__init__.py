"""Speed and memory against their bounds. Imports report and below."""
