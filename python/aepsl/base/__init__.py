"""Errors, files, threads, tables, doors: what every room stands on. Imports nothing of ours."""
