"""The error of files and models that cannot be read, or not expressed exactly."""

from __future__ import annotations


class ModelError(ValueError):
    """A model that cannot be read, or holds what cannot be expressed exactly.

    The message names the file, the node or layer and the field, and says what was expected.
    """
