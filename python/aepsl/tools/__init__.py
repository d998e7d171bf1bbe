"""Commands of their own: pictures, predictions, exports, comparisons, DRFI's training. Imports report and below."""
