"""Prepared forms as they are written: verified, staged and published by rename."""
