"""The chain of interceptors around every call.

From the outside in:

1. `observation.CallObserver` follows the call from its start to its end, for log, metrics and traces. It is outermost
   so that it counts every call, also those that the others refuse.
2. `access.AccessInterceptor` refuses calls without the credentials that the access policy requires.
3. `errors.ErrorInterceptor` turns errors of `qda.v1` methods into statuses with details, also those that the next
   interceptors raise.
4. `concurrency.CallLimit` refuses calls of `qda.v1` beyond the limit of calls in progress.
5. `library_calls.LibraryCallInterceptor` turns requests to health and reflection, whose services come from libraries,
   into INVALID_ARGUMENT if they cannot be parsed.

gRPC gets the handler of a method from the interceptors at each call (`intercept_service`). Each of these wraps a
handler once and keeps the wrapped one by method. They all run on the event loop.
"""
