"""Results as files: records in JSON Lines, and tables for spreadsheets and data frames. No gRPC."""
