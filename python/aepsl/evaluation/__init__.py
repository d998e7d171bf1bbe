"""IoU, intervals of differences, single images. Imports data and below."""
