"""Who may call the worker, and how much of it one caller may use; for every transport alike.

`policy.AccessPolicy` turns the credentials of a call (`policy.Credentials`: authorization header, names of the client
certificate) into the name of the caller, or raises an error of `qda_worker.errors`. `tokens` reads the file of bearer
tokens, `concurrent_calls` limits the calls in progress, and `text_rates` the texts of one caller per second. Nothing
here imports gRPC.
"""
