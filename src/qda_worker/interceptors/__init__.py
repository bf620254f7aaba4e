"""What happens to every call whatever it asks: it is observed from start to end, and there are only so many at once."""
