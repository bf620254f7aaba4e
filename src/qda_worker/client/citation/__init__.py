"""Citations of the models and the program that computed a result file. No gRPC."""
