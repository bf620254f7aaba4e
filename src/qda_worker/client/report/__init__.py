"""The report: one HTML page of analyzed statements, which needs neither network nor server."""
