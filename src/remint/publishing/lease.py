"""Hold a run while it is worked on: claim it, give signs of life, and tell whether somebody else is at work on it.

Rule: a lease keeps two people from working on one run by mistake, and no more. Clocks differ and processes pause, so
what keeps a run whole is its epoch, which the store looks at in every write for it and a table in every commit.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from remint.errors import RemintError, RunAtWork
from remint.model.lease import Holder, Lease
from remint.model.run import Run
from remint.publishing.tools import Tools, timestamp
from remint.store.values import Admission, AuditEntry, Claim

_AT_WORK: set[str] = set()
"""The holders of this process that are at work."""


@contextmanager
def started(tools: Tools, run: Run, plan_json: str | None, audit: AuditEntry, admission: Admission) -> Iterator[None]:
    """Record a new run that this process holds, and hold it for the body of the ``with``."""
    with _at_work() as holder:
        claim = _claim(tools, holder, datetime.fromisoformat(run.started_at))
        tools.store.create_run(run, plan_json, audit, replace(admission, claim=claim))
        with _signs_of_life(tools, run.run_id):
            yield


@contextmanager
def taken(tools: Tools, run_id: str, *, take_over: bool = False) -> Iterator[None]:
    """Take an existing run over and hold it for the body of the ``with``; earlier holders can write no more.

    Args:
        tools: adapters.
        run_id: the run.
        take_over: also from a holder that seems to be at work.

    Raises:
        RunAtWork: a process is at work on it; nothing changed.
    """
    lease = tools.store.leases().get(run_id)
    now = tools.now()
    if lease and is_at_work(lease, now) and (not take_over or _is_own(tools, lease)):
        raise RunAtWork(
            f"run {run_id} is {lease.describe(now)}; it was taken up at {lease.taken_at}, and its lease ends at "
            f"{lease.until} unless it is renewed",
            hint="wait for it; when that process is known to be stuck, the same command with --take-over",
        )
    with _at_work() as holder:
        tools.store.claim(run_id, _claim(tools, holder, tools.clock(), lease.epoch if lease else 0))
        with _signs_of_life(tools, run_id):
            yield


def at_work(tools: Tools) -> dict[str, Lease]:
    """Return the leases of the outstanding runs that a process is at work on, by run."""
    outstanding, leases, now = tools.store.outstanding(), tools.store.leases(), tools.now()
    held = {run.run_id: leases[run.run_id] for run in outstanding if run.run_id in leases}
    return {run_id: lease for run_id, lease in held.items() if is_at_work(lease, now)}


def others_at_work(tools: Tools) -> set[str]:
    """Return the outstanding runs that a holder other than this store is at work on."""
    return {run_id for run_id, lease in at_work(tools).items() if not _is_own(tools, lease)}


def is_at_work(lease: Lease, now: str) -> bool:
    """Return whether the holder of a lease may still be at work: it has not lapsed, and its process is not gone."""
    return not lease.has_lapsed(now) and not _is_gone(lease.holder)


@contextmanager
def _at_work() -> Iterator[Holder]:
    holder = replace(_this_process(os.getpid()), nonce=secrets.token_hex(4))
    _AT_WORK.add(holder.nonce)
    try:
        yield holder
    finally:
        _AT_WORK.discard(holder.nonce)


def _claim(tools: Tools, holder: Holder, now: datetime, after_epoch: int = 0) -> Claim:
    until = now + timedelta(seconds=tools.lease_seconds)
    return Claim(holder=holder, at=timestamp(now), until=timestamp(until), after_epoch=after_epoch)


@contextmanager
def _signs_of_life(tools: Tools, run_id: str) -> Iterator[None]:
    """Renew the lease of a run until the body ends, or somebody else has taken the run over."""
    done = threading.Event()
    beating = threading.Thread(target=_beat, args=(tools, run_id, done), name=f"lease of {run_id}", daemon=True)
    beating.start()
    try:
        yield
    finally:
        done.set()
        beating.join()


def _beat(tools: Tools, run_id: str, done: threading.Event) -> None:
    while not done.wait(tools.lease_seconds / 3):
        # A database that is busy, or away, is not the holder's end: the next beat may come through.
        with suppress(RemintError):
            now = tools.clock()
            until = now + timedelta(seconds=tools.lease_seconds)
            if not tools.store.renew(run_id, timestamp(now), timestamp(until)):
                return


def _is_own(tools: Tools, lease: Lease) -> bool:
    """Return whether this very store holds the run: its writes could not be told from those of another holder."""
    return lease.holder.nonce in _AT_WORK and tools.store.held(lease.run_id) == lease.epoch


def _is_gone(holder: Holder) -> bool:
    """Return whether the process of a holder is known to be gone: only a process of this machine can be."""
    here = _this_process(os.getpid())
    if (holder.host, holder.space) != (here.host, here.space) or not holder.began:
        return False
    if holder.pid == os.getpid() and holder.began == here.began:
        return holder.nonce not in _AT_WORK
    return _began(holder.pid) != holder.began


@cache
def _this_process(pid: int) -> Holder:
    space = ""
    with suppress(OSError):
        space = os.readlink("/proc/self/ns/pid").strip("pid:[]")
    return Holder(host=socket.gethostname(), space=space, pid=pid, began=_began(pid), nonce="")


def _began(pid: int) -> str:
    """Return when a process began, in the system's ticks; empty where there is no such process, or it is a zombie."""
    try:
        # The name of the program, in brackets, may hold spaces and brackets of its own.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
