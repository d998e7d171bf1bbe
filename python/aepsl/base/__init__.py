"""Errors, files, threads, tables, doors: what every folder uses. Imports nothing of ours."""
