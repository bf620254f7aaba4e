"""Measurements, separate from the tests."""
