"""The rules of erasing, a file each: which pixels of a map are mined. Imports nothing of ours."""
