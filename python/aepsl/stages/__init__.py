"""One module a stage: run(...) reads files and writes files, and knows no other stage. Imports the rooms below."""
