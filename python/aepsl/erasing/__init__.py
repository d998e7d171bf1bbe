"""Rules of erasing: where a map says that there is object. One file a rule; docs/extending.md. Imports numpy alone."""
