"""Who may call the worker, and how much of it one caller may use; for every transport alike.

`policy.AccessPolicy` turns the authorization header of a call, or the names of its client certificate, into the name of
the caller, or raises an error of `qda_worker.errors`. `tokens` reads the file of bearer tokens,
`concurrent_calls` limits the calls in progress, and `text_rates` the texts of one caller per second. Nothing here
imports gRPC.
"""
