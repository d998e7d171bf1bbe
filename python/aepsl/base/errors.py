"""Bad input ends a command with one line that says what to do."""


class InputError(Exception):
    """Input that the user can mend. The message is one line: the file, what is wrong, the remedy.

    `cli.remedied` adds the remedy of the kinds below where it depends on the command.
    """


class BrokenFile(InputError):
    """A file that is missing, empty or damaged. Arguments: path, fault, and the remedy where the file is the user's."""

    def __str__(self) -> str:
        path, fault, remedy = self.args
        return f"{path}: {fault}; {remedy}"


class FullDisk(InputError):
    """There is no room for what is written."""


class NoRight(InputError):
    """A file that may not be written."""
