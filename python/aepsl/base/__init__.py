"""Errors, files, tables, threads, the commit: what every room stands on. Imports nothing of ours."""
