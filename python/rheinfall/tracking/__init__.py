"""Graph construction, track building and what lies between."""
