"""The short way from a checked request to an operation's arguments.

The framework's own way asks every request anew what its operation takes, which was a quarter
of the time of a write. What an operation takes is known at the start: path parameters, a
body, the call. A request that does not fit goes the framework's way, which names each fault.
"""

import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

KEY_HEADER: Final = "Idempotency-Key"

Bind = Callable[[Request], dict[str, Any] | None]
Operation = Callable[..., Coroutine[Any, Any, Response]]
Provide = Callable[[Request], Coroutine[Any, Any, Any]]


def short_way(route: APIRoute, current_call: Provide) -> Bind | None:
    """Return what binds a plain operation's arguments; None for an operation that is not.

    What is bound in turn returns None for a request that does not fit. A plain operation is a
    coroutine that takes text from the path, at most one body, the idempotency key, the
    request and the current call, and returns a response.
    """
    dependant = route.dependant
    if not _is_plain(route, dependant, current_call):
        return None
    paths = [field.name for field in dependant.path_params]
    keys = [field.name for field in dependant.header_params]
    calls = [str(each.name) for each in dependant.dependencies]
    body = next(iter(dependant.body_params), None)
    request_name = dependant.request_param_name

    def bind(request: Request) -> dict[str, Any] | None:
        values: dict[str, Any] = {name: request.path_params[name] for name in paths}
        if body is not None:
            parsed = request.state.parsed
            if parsed is None:
                return None
            values[body.name], faults = body.validate(parsed, {}, loc=("body",))
            if faults:
                return None
        if keys:
            values.update(dict.fromkeys(keys, request.headers.get(KEY_HEADER)))
        values.update(dict.fromkeys(calls, request.state.call))
        if request_name is not None:
            values[request_name] = request
        return values

    return bind


def _is_plain(route: APIRoute, dependant: Dependant, current_call: Provide) -> bool:
    special = (
        dependant.response_param_name,
        dependant.background_tasks_param_name,
        dependant.security_scopes_param_name,
        dependant.http_connection_param_name,
    )
    returns = inspect.signature(route.endpoint).return_annotation
    return (
        inspect.iscoroutinefunction(route.endpoint)
        and isinstance(returns, type)
        and issubclass(returns, Response)
        and not (dependant.query_params or dependant.cookie_params or any(special))
        and all(each.call is current_call and each.name for each in dependant.dependencies)
        and all(_is_text(field.field_info) for field in dependant.path_params)
        and all(field.field_info.alias == KEY_HEADER for field in dependant.header_params)
        and len(dependant.body_params) == bool(route.body_field)
        and not _embeds_body(route)
    )


def _is_text(info: Any) -> bool:
    return info.annotation is str and not info.metadata


def _embeds_body(route: APIRoute) -> bool:
    # The whole body is one parameter where the framework made no model around it.
    names = [field.name for field in route.dependant.body_params]
    return route.body_field is not None and [route.body_field.name] != names
