"""Tests of the fake hub with the clients that it serves."""
