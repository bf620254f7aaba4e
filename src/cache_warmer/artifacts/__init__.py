"""A model as it is stored: a Hugging Face snapshot or a spaCy package, both behind one interface."""
