"""``redrive prepare-store``: create or upgrade the tables, by a role that has the privileges, before workers connect without
them."""

from __future__ import annotations

import argparse

from redrive import AsyncDurableService
from redrive.cli.apps import refuse_typo
from redrive.cli.cli_errors import DONE, CommandError


def add_preparing(words: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = words.add_parser("prepare-store", help="make a store's tables, or bring them up to date, while workers run")
    parser.add_argument("store", metavar="URL", help="like postgresql://owner@host/database")
    parser.set_defaults(verb=prepare)


async def prepare(given: argparse.Namespace) -> int:
    refuse_typo(given.store, create=True)
    try:
        service = AsyncDurableService(given.store, worker=False)
    except ValueError as error:
        raise CommandError(str(error)) from None
    async with service:
        print(f"{service.store_name} can be used by this redrive")
    return DONE
