"""Names that a workflow must not use, and the rules that forbid them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

V = TypeVar("V")


def _each(names: str, value: V) -> dict[str, V]:
    return dict.fromkeys(names.split(), value)


def _words(names: str) -> frozenset[str]:
    return frozenset(names.split())


CALLS: Final[Mapping[str, str]] = {
    **_each(
        """datetime.datetime.now datetime.datetime.utcnow datetime.datetime.today datetime.date.today time.time time.time_ns
        time.monotonic time.monotonic_ns time.perf_counter time.perf_counter_ns time.process_time time.process_time_ns time.thread_time
        time.localtime time.gmtime time.ctime time.strftime time.clock_gettime django.utils.timezone.now pendulum.now pendulum.today
        arrow.now arrow.utcnow""",
        "RD101",
    ),
    **_each("os.urandom os.getrandom", "RD102"),
    **_each("uuid.uuid1 uuid.uuid4 uuid.uuid6 uuid.uuid7", "RD103"),
    **_each(
        """builtins.open builtins.input io.open os.system os.popen os.open os.read os.write os.remove os.unlink os.rename os.replace
        os.mkdir os.makedirs os.rmdir os.listdir os.scandir os.walk os.stat os.access os.path.exists os.path.isfile os.path.isdir
        os.path.getmtime os.path.getsize pathlib.Path.cwd pathlib.Path.home urllib.request.urlopen glob.glob glob.iglob""",
        "RD104",
    ),
    **_each("builtins.print warnings.warn sys.stdout.write sys.stderr.write pprint.pprint", "RD105"),
    **_each("time.sleep asyncio.sleep anyio.sleep trio.sleep gevent.sleep", "RD106"),
    **_each("os.fork os.forkpty os.spawnv signal.signal signal.alarm", "RD107"),
    **_each(
        """os.getenv os.getpid os.getppid os.getcwd os.cpu_count os.getlogin os.uname socket.gethostname getpass.getuser
        locale.getlocale uuid.getnode""",
        "RD108",
    ),
    **_each("builtins.id builtins.hash", "RD110"),
}
"""Functions that must not be called."""

CALLED_IN: Final[Mapping[str, str]] = {
    **_each("random secrets numpy.random", "RD102"),
    **_each(
        """requests httpx urllib3 aiohttp socket ssl subprocess sqlite3 psycopg psycopg2 asyncpg redis smtplib ftplib boto3 shutil
        tempfile http.client""",
        "RD104",
    ),
    **_each("logging structlog loguru", "RD105"),
    **_each("threading _thread multiprocessing concurrent.futures asyncio anyio trio queue contextvars", "RD107"),
    **_each("platform sysconfig", "RD108"),
}
"""Modules of which nothing but `ALLOWED` may be called."""

ALLOWED: Final = _words("""asyncio.CancelledError concurrent.futures.CancelledError
    subprocess.TimeoutExpired subprocess.list2cmdline httpx.URL requests.Request queue.Empty queue.Full
    socket.timeout""")

READS: Final[Mapping[str, str]] = {
    **_each("os.environ os.environb sys.argv sys.platform os.name sys.stdin sys.path sys.flags sys.hexversion", "RD108"),
}
"""Values that must not be read."""

WITHOUT_ARGUMENTS: Final[Mapping[str, int]] = {
    "random.Random": 1,
    "numpy.random.default_rng": 1,
    "numpy.random.RandomState": 1,
    **_each("time.localtime time.gmtime time.ctime", 1),
    "time.strftime": 2,
}
"""Functions that give the same value each time if called with this many arguments: a seed, or the time itself."""

ALWAYS_METHODS: Final = _words("read_text read_bytes write_text write_bytes")
"""Methods that are impure on any object."""

PATH_METHODS: Final = _words("""read_text read_bytes write_text write_bytes exists is_file is_dir iterdir glob rglob stat lstat
    open touch mkdir unlink rename
    replace rmdir resolve""")
"""Methods that must not be called on a new `pathlib.Path`."""

LOGGERS: Final = _words("logging.getLogger structlog.get_logger structlog.getLogger loguru.logger")
"""Functions that make a logger: a module-level name bound to their result is one."""

MUTATORS: Final = _words(
    "append extend insert remove pop popitem clear add discard update setdefault sort reverse appendleft popleft extendleft"
)
"""Methods that change a list, dict, set or deque in place."""


def called(name: str) -> str | None:
    """The code of the rule against calling *name* (dotted, with its module), if there is one."""
    if (code := CALLS.get(name)) is not None:
        return code
    if name in ALLOWED:
        return None
    parts = name.split(".")
    if parts[-1].endswith(("Error", "Exception")):
        return None
    for size in (2, 1):
        if len(parts) > size and (code := CALLED_IN.get(".".join(parts[:size]))) is not None:
            return code
    return None
