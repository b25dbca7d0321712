"""Streams that behave as a terminal's may."""


class Interrupt:
    """A stream that takes some lines and then gets Ctrl-C."""

    def __init__(self, n_lines):
        self.n_lines = n_lines

    def write(self, text):
        self.n_lines -= text.count("\n")
        if self.n_lines < 0:
            raise KeyboardInterrupt

    def flush(self):
        pass
