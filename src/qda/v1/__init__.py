"""Generated from proto/qda by `make proto`. Nothing here is written by hand."""
