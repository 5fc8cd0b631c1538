"""The OpenAPI schema's error responses: every endpoint has the same, so no view has to list them."""

from __future__ import annotations

from typing import Any

_ERROR = {
    "type": "object",
    "description": "The one shape of every error.",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "code": {"type": "string", "description": "For programs; it does not change."},
                "message": {
                    "type": "string",
                    "description": "For people: what is wrong, what to do.",
                },
                "fields": {
                    "type": "object",
                    "additionalProperties": {"type": "string"},
                    "description": "Messages by the name of the input they are about.",
                },
            },
            "required": ["code", "message"],
        }
    },
    "required": ["error"],
}
_MEANINGS = {
    "400": "The request is not valid.",
    "401": "Nobody is signed in, or the token is not valid.",
    "403": "Not allowed; for a cookie without its CSRF token, too.",
    "404": "There is no such object, or it is somebody else's.",
    "406": "None of the accepted formats is served.",
    "409": "The object is not in a state that allows this.",
    "413": "The request is too large.",
    "415": "The body is not JSON.",
    "429": "Too many requests; `Retry-After` says when to try again.",
    "503": "The database is not available.",
}
_WITH_BODY = ("post", "put", "patch")
_METHODS = ("get", "post", "put", "patch", "delete")


def add_error_responses(
    result: dict[str, Any], generator: Any, request: Any, public: bool
) -> dict[str, Any]:
    """Return the schema with the errors that each operation may answer; those a view documents itself stay."""
    result.setdefault("components", {}).setdefault("schemas", {})["Error"] = _ERROR
    for path, operations in result["paths"].items():
        for method, operation in operations.items():
            if method in _METHODS:
                for status in _statuses(path, method, operation):
                    operation["responses"].setdefault(status, _response(status))
    return result


def _statuses(path: str, method: str, operation: dict[str, Any]) -> list[str]:
    statuses = ["400", "406", "429", "503"]
    if operation.get("security", [{}]) != [{}]:
        statuses += ["401", "403"]
    if "{" in path or method in _WITH_BODY:  # a body may name an object, too
        statuses.append("404")
    if method in _WITH_BODY:
        statuses += ["409", "413", "415"]
    return statuses


def _response(status: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Error"}
    return {
        "description": _MEANINGS[status],
        "content": {"application/json": {"schema": schema}},
    }
