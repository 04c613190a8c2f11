"""Django: the order's row and its workflow begin together, inside ``transaction.atomic``, or not at all.

    DATABASE_URL=postgresql://… python examples/django_shop.py        # needs django and redrive[postgres]

Django and redrive share one PostgreSQL database, each in a schema of its own. The site is a client only; `redrive worker
examples.django_shop:worker` does the work.
"""

from __future__ import annotations

import json
import os
from contextlib import closing
from datetime import timedelta
from functools import lru_cache
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.db import connection, models, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import Client
from django.urls import path

from redrive import AsyncDurableService, DurableService, ExecutionNotFound, Flow, Signal, SignalTimeout, WaitSignal, step, workflow

# ── settings.py ─────────────────────────────────────────────────────────────────────────────────
DATABASE_URL = os.environ.get("DATABASE_URL", "postgresql://postgres@127.0.0.1/postgres")
_parts = urlsplit(DATABASE_URL)
settings.configure(
    DEBUG=False,
    ALLOWED_HOSTS=["testserver"],
    ROOT_URLCONF=__name__,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": _parts.hostname or "",
            "PORT": _parts.port or "",
            "USER": _parts.username or "",
            "PASSWORD": _parts.password or "",
            "NAME": _parts.path.strip("/"),
        }
    },
)
django.setup()


# ── models.py ───────────────────────────────────────────────────────────────────────────────────
class Order(models.Model):
    number = models.CharField(max_length=40, primary_key=True)
    total = models.PositiveIntegerField()

    class Meta:
        app_label = "shop"
        db_table = "shop_order"


# ── workflows.py ────────────────────────────────────────────────────────────────────────────────
paid = Signal("django_shop.paid", str)


@step
def ship(number: str) -> str:
    """A step may use the ORM: it runs on a worker's thread."""
    order = Order.objects.get(number=number)
    connection.close()
    return f"parcel of {order.total} for {number}"


@workflow("django_shop.order", signals=[paid])
def process_order(number: str) -> Flow[str]:
    try:
        payment = yield from WaitSignal(paid, timeout=timedelta(days=1))
    except SignalTimeout:
        return "never paid"
    parcel = yield from ship(number)
    return f"{parcel}, paid by {payment}"


def worker() -> AsyncDurableService:
    return AsyncDurableService(DATABASE_URL, [process_order])


@lru_cache(1)
def client() -> DurableService:
    """One for the whole process, made by the first request: a server that forks does so before."""
    return DurableService(DATABASE_URL, [process_order], worker=False).__enter__()


# ── views.py ────────────────────────────────────────────────────────────────────────────────────
def place(request: HttpRequest) -> HttpResponse:
    new = json.loads(request.body)
    with transaction.atomic(), connection.cursor() as cursor:
        order = Order.objects.create(number=new["number"], total=new["total"])
        client().start_in(cursor, process_order(order.number), id=f"order-{order.number}")
        if order.total > 1000:
            transaction.set_rollback(True)  # the row and the execution are gone together
            return JsonResponse({"error": "too much"}, status=422)
    return JsonResponse({"execution": f"order-{order.number}"}, status=202)


def pay(request: HttpRequest, number: str) -> HttpResponse:
    event = json.loads(request.body)
    client().signal(f"order-{number}", paid, event["payment"], key=event["id"])
    return HttpResponse(status=204)


def show(request: HttpRequest, number: str) -> HttpResponse:
    result = client().execution(f"order-{number}", process_order).result(timeout=10)
    return JsonResponse({"result": result})


urlpatterns = [path("orders", place), path("orders/<number>", show), path("orders/<number>/payments", pay)]


# ── shown without a port ────────────────────────────────────────────────────────────────────────
def main() -> None:
    with connection.schema_editor() as editor:
        editor.create_model(Order)
    try:
        with DurableService(DATABASE_URL, [process_order]), closing(client()):
            site = Client()
            print(post(site, "/orders", {"number": "17", "total": 900}))
            print(post(site, "/orders", {"number": "18", "total": 5000}))
            print("orders:", list(Order.objects.values_list("number", flat=True)))
            try:
                client().execution("order-18").info()
            except ExecutionNotFound:
                print("order-18 never was")
            print(post(site, "/orders/17/payments", {"id": "evt-1", "payment": "pay_1"}))
            print(site.get("/orders/17").json())
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(Order)
        connection.close()


def post(site: Client, path: str, body: object) -> int:
    return site.post(path, json.dumps(body), content_type="application/json").status_code


if __name__ == "__main__":
    main()
