"""The blocking service: the same, without await."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from redrive import (
    DurableService,
    ExecutionFailed,
    ExecutionNotFound,
    Flow,
    ServiceClosed,
    Signal,
    Sleep,
    WaitSignal,
    step,
    workflow,
)

word = Signal("word", str)


@step
def shout(text: str) -> str:
    return text.upper()


@workflow("blocking.echo")
def echo() -> Flow[str]:
    return (yield from shout((yield from WaitSignal(word))))


@workflow("blocking.fails")
def fails() -> Flow[None]:
    yield from Sleep(0)
    raise ValueError("no")


def test_everything_works_without_await(store_url: str) -> None:
    with DurableService(store_url, workflows=[echo, fails]) as service:
        execution = service.start(echo(), id="e")
        assert execution.id == "e"
        assert execution.signal(word, "hello", key="k")
        assert not service.signal("e", word, "hello", key="k")
        assert execution.result(timeout=10) == "HELLO"
        assert execution.info().result == "HELLO"
        assert execution.attributes() == {}
        assert len(execution.history()) == 6
        with pytest.raises(ExecutionFailed, match="no"):
            service.execute(fails())
        with pytest.raises(ExecutionNotFound):
            service.execution("ghost").cancel("?")
        again = service.signal_with_start(echo(), id="f", signal=word, payload="both")
        assert again.result() == "BOTH"
        assert service.execution("f", echo).result() == "BOTH"


def test_many_threads_use_one_service(store_url: str) -> None:
    results: list[str] = []
    with DurableService(store_url, workflows=[echo]) as service:

        def one(n: int) -> None:
            execution = service.start(echo(), id=f"e{n}")
            execution.signal(word, f"n{n}")
            results.append(execution.result(timeout=20))

        threads = [threading.Thread(target=one, args=(n,)) for n in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(results) == sorted(f"N{n}" for n in range(10))


def test_a_sync_step_may_use_the_service(store_url: str) -> None:
    @workflow("blocking.outer")
    def outer() -> Flow[str]:
        return (yield from ask())

    with DurableService(store_url, workflows=[echo, outer]) as service:

        @step
        def ask_() -> str:
            inner.signal(word, "from a step")
            return inner.result(timeout=10)

        ask = ask_
        inner = service.start(echo(), id="inner")
        assert service.execute(outer()) == "FROM A STEP"


def test_a_service_is_opened_once() -> None:
    service = DurableService("memory://", workflows=[echo])
    with pytest.raises(ServiceClosed):
        service.start(echo())
    with service, pytest.raises(ServiceClosed):
        service.__enter__()
    with pytest.raises(ServiceClosed):
        service.execution("e").info()
    service.close()


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_leaves_a_wait_and_the_service_closes(tmp_path: Path) -> None:
    program = tmp_path / "waits.py"
    program.write_text(
        textwrap.dedent("""
            import sys
            from redrive import DurableService, Signal, WaitSignal, workflow
            @workflow("waits")
            def waits():
                yield from WaitSignal(Signal("never"))
            with DurableService(f"sqlite:///{sys.argv[1]}", workflows=[waits]) as service:
                execution = service.start(waits(), id="w")
                try:
                    print("waiting", flush=True)
                    execution.result()
                except KeyboardInterrupt:
                    print("interrupted", execution.info().result)
        """)
    )
    with subprocess.Popen([sys.executable, program, tmp_path / "it.db"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=20)
    assert told == "interrupted None\n"
    assert process.returncode == 0
