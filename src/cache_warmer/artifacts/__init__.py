"""Models as they are stored, Hugging Face snapshots and spaCy packages, behind one interface."""
