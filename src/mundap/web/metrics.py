"""What this process counts about itself, for Prometheus (`/metrics`). `config/metrics.py` names what is counted."""

from __future__ import annotations

from ipaddress import ip_address

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.csrf import csrf_exempt
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import REGISTRY
from rest_framework.exceptions import MethodNotAllowed

from mundap.config.exceptions import ErrorReply, respond

_SENT_BY_PROXIES = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")


@csrf_exempt
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer this process's numbers, in the format that is asked for; 404 to whoever may not see them."""
    if not _may_see(request):
        raise Http404
    if request.method not in {"GET", "HEAD"}:
        refusal = MethodNotAllowed(str(request.method))
        code, text = refusal.default_code, str(refusal.detail)
        return respond(request, ErrorReply(405, code, text, headers={"Allow": "GET, HEAD"}))
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(
        encode(REGISTRY), content_type=content_type, headers={"Cache-Control": "no-store"}
    )


def _may_see(request: HttpRequest) -> bool:
    if settings.METRICS_TOKEN:
        scheme, _space, token = request.headers.get("Authorization", "").strip().partition(" ")
        return scheme.lower() == "bearer" and constant_time_compare(token, settings.METRICS_TOKEN)
    # A proxy on this machine comes from loopback, too, with the whole world behind it.
    is_behind_proxy = settings.TRUSTED_PROXIES or any(
        name in request.META for name in _SENT_BY_PROXIES
    )
    return not is_behind_proxy and _is_loopback(str(request.META.get("REMOTE_ADDR") or ""))


def _is_loopback(address: str) -> bool:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback
