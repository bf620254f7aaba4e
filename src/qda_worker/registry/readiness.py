"""What the worker does and why it is not ready, in words: for probes, whose failures become Events, and the run record.

Neither contains anything that changes from one check to the next, such as the progress of a warm: the kubelet counts
equal Events and limits the number of different ones.
"""

from qda_worker.registry.registry import ModelRegistry, ModelState


def current_activity(registry: ModelRegistry) -> str:
    """Return what the worker does: it loads models, waits for its cache, or serves. Any thread may call this."""
    loading = [key for key, served in registry.models.items() if served.state is ModelState.LOADING]
    if loading:
        return f"loading {', '.join(loading)}"
    return "serving" if registry.all_serving else "waiting for its cache"


def unready_reason(registry: ModelRegistry) -> str:
    """Return why the worker is not ready, with a remedy if there is one."""
    problems = [registry.cache_problem(), *(served.problem for served in registry.models.values())]
    problem = next((problem for problem in problems if problem is not None), None)
    if problem is not None:
        return str(problem)
    if registry.report is None:
        return "the cache is being checked"
    waiting = [key for key, served in registry.models.items() if not served.answers]
    return f"models are being loaded or started again: {', '.join(waiting)}"
