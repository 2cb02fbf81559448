"""Browsers of the shop: many at once, on connections that they keep."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import NamedTuple

FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


class Load(NamedTuple):
    """What came of many requests."""

    statuses: Counter
    orders: list[int]
    seconds: float
    clients: list[Client]

    def close(self) -> None:
        """Close the connections that were kept."""
        for client in self.clients:
            client.close()


class Client:
    """One connection, made at its first request and kept."""

    def __init__(self, address: str) -> None:
        self.connection = HTTPConnection(address, timeout=60)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def post(self, path: str, form: str) -> tuple[int, str]:
        return self._ask("POST", path, form)

    def get(self, path: str) -> tuple[int, str]:
        return self._ask("GET", path, None)

    def close(self) -> None:
        self.connection.close()

    def _ask(self, method: str, path: str, body: str | None) -> tuple[int, str]:
        self.connection.request(method, path, body, FORM if body is not None else {})
        response = self.connection.getresponse()
        return response.status, response.read().decode()


def place_orders(address: str, requests: int, *, threads: int = 8, keep: bool = True) -> Load:
    """Place orders from several threads, of which a tenth is declined; connections stay open if they are kept."""
    numbers = iter(range(requests))
    lock = threading.Lock()
    answers: list[tuple[int, str]] = []
    clients: list[Client] = []
    failures: list[BaseException] = []

    def next_number() -> int | None:
        with lock:
            return next(numbers, None)

    def browse() -> None:
        client = Client(address)
        clients.append(client)
        try:
            while (number := next_number()) is not None:
                answers.append(client.post("/orders", f"customer=c{number}" + "&fail=1" * (number % 10 == 0)))
                if not keep:
                    client.close()
        except BaseException as error:
            failures.append(error)

    started = time.monotonic()
    browsers = [threading.Thread(target=browse) for _ in range(threads)]
    for browser in browsers:
        browser.start()
    for browser in browsers:
        browser.join(120)
    assert not failures, failures
    orders = [json.loads(body)["order"] for status, body in answers if status == 201]
    return Load(Counter(status for status, _ in answers), orders, time.monotonic() - started, clients)


def listed(address: str) -> dict[int, list[str]]:
    """Read every page of the list: the states of each order's jobs."""
    found: dict[int, list[str]] = {}
    paths = ["/"]
    with Client(address) as client:
        while paths:
            status, page = client.get(paths.pop())
            assert status == 200, page
            found.update(_rows(page))
            paths = re.findall(r'<a href="(/\?before=\d+)"', page)
    return found


def _rows(page: str) -> Iterator[tuple[int, list[str]]]:
    for row in re.findall(r"<tr>\s*<td>(\d+)</td>(.*?)</tr>", page, re.DOTALL):
        yield int(row[0]), re.findall(r'class="state (\w+)"', row[1])
