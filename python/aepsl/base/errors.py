"""Bad input ends a command with one line that says what to do."""


class InputError(Exception):
    """Input that the user can mend. The message is one line: the file, what is wrong, the remedy."""
