"""A package, so that child processes of tests find these modules whatever else is installed under the name."""
