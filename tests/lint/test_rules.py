"""Each rule on what breaks it, and on what looks like it and does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from redrive.lint import RULES

Codes = Callable[..., list[str]]

BREAKS = [
    ("RD101", "at = datetime.now()"),
    ("RD101", "at = dt.datetime.now(dt.UTC)"),
    ("RD101", "at = dt.date.today()"),
    ("RD101", "at = time.time()"),
    ("RD101", "import time as clock\nat = clock.monotonic()"),
    ("RD101", "from time import perf_counter as tick\nat = tick()"),
    ("RD101", "at = sorted(order, key=lambda item: time.time())"),
    ("RD101", "day = time.strftime('%d')"),
    ("RD102", "x = random.random()"),
    ("RD102", "random.shuffle(order)"),
    ("RD102", "x = os.urandom(8)"),
    ("RD102", "x = random.Random()"),
    ("RD103", "x = uuid.uuid4()"),
    ("RD104", "x = open('a').name"),
    ("RD104", "x = requests.get('http://a')"),
    ("RD104", "x = Path('a').exists()"),
    ("RD104", "x = order.path.read_text()"),
    ("RD104", "subprocess.run(['a'])"),
    ("RD105", "print(order)"),
    ("RD105", "logging.info('a')"),
    ("RD106", "time.sleep(1)"),
    ("RD106", "asyncio.sleep(1)"),
    ("RD107", "threading.Thread(target=order).start()"),
    ("RD107", "asyncio.create_task(order)"),
    ("RD108", "x = os.environ['A']"),
    ("RD108", "x = os.getenv('A')"),
    ("RD108", "x = sys.argv"),
    ("RD110", "x = hash(order)"),
    ("RD201", "charge(order)"),
    ("RD201", "Sleep(5)"),
    ("RD201", "charge(order).options(id='a')"),
    ("RD201", "charge(order) if order else None"),
    ("RD201", "[charge(item) for item in order]"),
    ("RD202", "charged = charge(order)\nreturn charged.total"),
    ("RD202", "charged = charge(order)"),
    ("RD202", "if charge(order):\n    pass"),
    ("RD202", "while not charge(order):\n    yield from Sleep(1)"),
    ("RD202", "assert charge(order)"),
    ("RD202", "x = charge(order) or None"),
    ("RD202", "x = charge(order) + 1"),
    ("RD202", "x = charge(order) == 1"),
    ("RD202", "x = f'{charge(order)}'"),
    ("RD202", "x = charge(order)[0]"),
    ("RD202", "x = charge(order).total"),
    ("RD202", "x = len(charge(order))"),
    ("RD202", "for item in charge(order):\n    pass"),
    ("RD202", "yield from charge(charge(order))"),
    ("RD202", "yield from Emit(done, charge(order))"),
    ("RD202", "charged = charge(order)\nif charged:\n    pass"),
    ("RD202", "charged = charge(order)\nyield from charge(charged)"),
    ("RD202", "charged = charge(order)\nreturn f'{charged}'"),
    ("RD204", "return charge(order)"),
    ("RD301", "try:\n    yield from charge(order)\nfinally:\n    yield from Rollback()"),
    ("RD302", "with order.lock:\n    yield from charge(order)"),
    ("RD303", "with suppress(BaseException):\n    yield from charge(order)"),
    ("RD303", "try:\n    yield from charge(order)\nexcept BaseException:\n    pass"),
    ("RD303", "try:\n    yield from charge(order)\nexcept (ValueError, GeneratorExit):\n    pass"),
    ("RD303", "try:\n    yield from charge(order)\nexcept:\n    raise"),
    ("RD304", "for item in set(order):\n    yield from charge(item)"),
    ("RD304", "for item in {o.id for o in order}:\n    yield from charge(item)"),
    ("RD304", "items = frozenset(order)\nyield from All.of(charge(item) for item in items)"),
    ("RD304", "yield from Map(charge, set(order) - {1})"),
    ("RD304", "yield from charge(list(set(order)))"),
    ("RD306", "await order"),
]

FINE = [
    "at = yield from Now()",
    "at = datetime(2026, 1, 1)",
    "at = dt.datetime.fromisoformat('2026-01-01')",
    "day = time.strftime('%d', order.at)",
    "rng = random.Random(order.seed)\nx = rng.random()",
    "x = uuid.uuid5(order.id, 'a')",
    "p = Path('a') / 'b'",
    "yield from Step('read', lambda: open('a').read())",
    "def body():\n    return time.time()\nyield from Step('now', body)",
    "@step('inner')\ndef inner():\n    return time.time()\nyield from inner()",
    "time = order\nx = time.time()",
    "open = order.open\nopen()",
    "charged = charge(order)\nyield from charged",
    "both = [charge(item) for item in order]\nyield from All.of(both)",
    "undo = charge(order)\nyield from charge.options(undo=undo)",
    "made = charge(order)\nyield from made.options(id='a')",
    "task = yield from Spawn(charge(order))",
    "made = charge(order)\nif made is not None:\n    yield from made",
    "made = charge(order)\nyield from Race(made, Sleep(5))",
    "yield from Switch('a', order).when(1, charge(order)).otherwise(charge(order))",
    "yield from (charge(order) if order else charge(None))",
    "made = {1: charge(order)}\nyield from made[1]",
    "yield from charge.options(undo=charge(order))",
    "yield from charge(order).options(undo=charge(order))",
    "yield from (order.ready or charge(order))",
    "return (yield from charge(order))",
    "x = yield charge(order)",
    "yield Note('a')",
    "try:\n    x = order.total\nexcept BaseException:\n    x = 0",
    "try:\n    yield from charge(order)\nexcept (Exception, Cancelled):\n    yield from Rollback()",
    "try:\n    yield from charge(order)\nfinally:\n    x = 1",
    "with suppress(ValueError):\n    yield from charge(order)",
    "with order.lock:\n    x = 1\nyield from charge(order)",
    "for item in sorted(set(order)):\n    yield from charge(item)",
    "for item in {1}:\n    yield from charge(item)",
    "total = 0\nfor item in set(order):\n    total += item",
    "yield from charge(set(order))",
    "try:\n    yield from charge(order)\nexcept subprocess.CalledProcessError:\n    pass",
]


@pytest.mark.parametrize(("code", "body"), BREAKS, ids=[f"{code}-{body[:40]}" for code, body in BREAKS])
def test_what_breaks_a_rule_is_found_and_nothing_else(codes: Codes, code: str, body: str) -> None:
    end = "" if "yield" in body or "return" in body else "\nyield from ()"
    assert set(codes(body + end)) == {code}


@pytest.mark.parametrize("body", FINE, ids=[body[:50] for body in FINE])
def test_what_only_looks_like_it_is_left_alone(codes: Codes, body: str) -> None:
    assert codes(body + ("" if "yield" in body else "\nyield from ()")) == []


def test_every_rule_has_a_test() -> None:
    elsewhere = {"RD001", "RD109", "RD203", "RD305"}
    assert {code for code, _ in BREAKS} | elsewhere == set(RULES)


def test_a_yield_without_from_is_a_matter_of_taste(codes: Codes) -> None:
    assert codes("x = yield charge(order)", select=("RD203",)) == ["RD203"]
    assert codes("yield charge(order)", select=("ALL",)) == []


def test_a_mutable_default_is_shared(codes: Codes) -> None:
    assert codes("yield from ()", head="@workflow\ndef w(order, seen=[], *, tags={}, n=(), at=None):") == ["RD305", "RD305"]


@pytest.mark.parametrize(
    ("before", "body"),
    [
        ("count = 0", "global count\ncount += 1"),
        ("cache = {}", "cache[order.id] = 1"),
        ("cache = []", "cache.append(order)"),
        ("cache = []\ndef fill(x):\n    cache.append(x)\n", "x = len(cache)"),
        ("rate = 1\ndef change(x):\n    global rate\n    rate = x\n", "x = rate"),
        ("import shop.settings as settings", "settings.debug = True"),
    ],
)
def test_a_global_that_changes_is_found(codes: Codes, before: str, body: str) -> None:
    assert set(codes(body + "\nyield from ()", before)) == {"RD109"}


@pytest.mark.parametrize(
    ("before", "body"),
    [
        ("PRICES = {'a': 1}", "x = PRICES['a']"),
        ("PRICES = {}\nPRICES['a'] = 1", "x = PRICES['a']"),
        ("cache = []\ndef other(cache):\n    cache.append(1)\n", "x = len(cache)"),
        ("approved = Signal('a')", "yield from WaitSignal(approved)"),
        ("seen = []", "seen = []\nseen.append(1)"),
    ],
)
def test_a_constant_is_no_state(codes: Codes, before: str, body: str) -> None:
    assert codes(body + "\nyield from ()", before) == []
