"""One module a stage: run(...) reads files and writes files, and calls no other stage. Imports all folders below."""
