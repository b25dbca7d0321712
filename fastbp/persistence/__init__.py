"""Models as files, in which no code can run when they are loaded."""

from fastbp.persistence.files import ModelFileError, load, save

__all__ = ["ModelFileError", "load", "save"]
