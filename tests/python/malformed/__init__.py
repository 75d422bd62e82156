"""Files of models that are damaged on purpose: how, what is loaded, and what must come of it."""
