"""`qda-client`: the command line of the client library."""
