"""Faults planted in the protocol that publishes, records and undoes; most are met by histories of the simulator.

To be added with the fault shim: ``no_sync_of_a_staged_file``, which the sweep of power losses must notice.
"""

from __future__ import annotations

from tests.mutants.faults import Fault

SIMULATOR = ("tests/sim/test_simulator.py::test_whatever_happens_in_memory_everything_holds",)

PROTOCOL = (
    Fault(
        name="journal_before_publish",
        file="publishing/publish.py",
        right="    if version is None:\n        version = tools.tables.publish(",
        wrong="    if version is None:\n"
        '        early = {"dataset": table.name, "version": -1, "seconds": 0}\n'
        "        tools.store.journal_append(run_id, StepKind.PUBLISHED, early)\n"
        "        version = tools.tables.publish(",
        tests=SIMULATOR,
    ),
    Fault(
        name="publishing_before_the_intent",
        file="publishing/publish.py",
        right="    tools.store.journal_append(run_id, StepKind.PUBLISH_INTENT, payload)\n"
        "    tools.store.set_state(run_id, RunState.PUBLISHING)\n",
        wrong="    tools.store.set_state(run_id, RunState.PUBLISHING)\n"
        "    tools.store.journal_append(run_id, StepKind.PUBLISH_INTENT, payload)\n",
        tests=SIMULATOR,
    ),
    Fault(
        name="intent_after_the_commit",
        file="publishing/publish.py",
        right='    tools.store.journal_append(run_id, StepKind.WITHDRAW_INTENT, {"attempt": attempt})\n    for',
        wrong="    for",
        tests=("tests/publishing/test_withdraw.py",),
    ),
    Fault(
        name="staged_files_deleted_on_an_unknown_outcome",
        file="publishing/publish.py",
        right="    except PublishConflict:\n        withdraw(tools, run_id, changes)\n        raise\n    seen",
        wrong="    except OSError:\n"
        "        for change in changes:\n"
        "            for file in change.adds:\n"
        '                __import__("os").unlink(f"{tools.folder(change.dataset)}/{file.path}")\n'
        "        raise\n"
        "    except PublishConflict:\n        withdraw(tools, run_id, changes)\n        raise\n    seen",
        tests=SIMULATOR,
    ),
    Fault(
        name="no_base_check",
        file="formats/delta.py",
        right="            _require_base(table, before, replacement)\n",
        wrong="",
        tests=("tests/formats/test_delta.py",),
    ),
    Fault(
        name="retry_does_not_check_the_base_again",
        file="formats/delta.py",
        right="        for _ in range(_CAS_TRIES):\n"
        "            opened = DeltaTable(table.location)\n"
        "            _refuse_unsupported(opened, table)\n"
        "            before = _live(opened, table)\n"
        "            _require_base(table, before, replacement)\n",
        wrong="        for number in range(_CAS_TRIES):\n"
        "            opened = DeltaTable(table.location)\n"
        "            _refuse_unsupported(opened, table)\n"
        "            before = _live(opened, table)\n"
        "            if number == 0:\n"
        "                _require_base(table, before, replacement)\n",
        tests=("tests/formats/test_delta.py",),
    ),
    Fault(
        name="check_skipped_on_an_exception",
        file="execution/apply.py",
        right="        warnings = audit(dataset, due, staged, piece.rows_arrived(dataset, due))\n",
        wrong="        try:\n"
        "            warnings = audit(dataset, due, staged, piece.rows_arrived(dataset, due))\n"
        "        except Exception:\n"
        "            warnings = ()\n",
        tests=SIMULATOR,
    ),
    Fault(
        name="ledger_fence_dropped",
        file="store/finish.py",
        right="    ledger.check_fence(connection, outcome.fence)\n",
        wrong="",
        tests=("tests/store/test_store_contract.py",),
    ),
    Fault(
        name="watermark_moved_at_the_start",
        file="store/sql_store.py",
        right="        with self._writing() as connection:\n"
        "            return admit(connection, run, plan_json, audit, admission)\n",
        wrong="        with self._writing() as connection:\n"
        "            run = admit(connection, run, plan_json, audit, admission)\n"
        '            if run.mode == "incremental" and plan_json:\n'
        "                name = plan_json.split('\"dataset\": \"')[1].split('\"')[0]\n"
        '                watermarks.advance(connection, run, {name: "2026-12-31"}, run.started_at)\n'
        "            return run\n",
        tests=SIMULATOR,
    ),
    Fault(
        name="release_written_before_the_ledger",
        file="store/finish.py",
        right="    ledger.append(connection, outcome.records, outcome.ended_at)\n",
        wrong="    releases.append(connection, run.run_id, outcome.versions, outcome.ended_at)\n"
        "    releases.append = lambda *_: _release_of(connection, run.run_id)\n"
        "    ledger.append(connection, outcome.records, outcome.ended_at)\n",
        tests=("tests/store/test_store_contract.py",),
    ),
    Fault(
        name="withdraw_forgets_a_table",
        file="publishing/publish.py",
        right="    for change in changes:\n"
        "        if change.is_empty or _landed(tools, run_id, change, attempt) is None:\n"
        "            continue\n        if _landed(",
        wrong="    for change in changes[1:]:\n"
        "        if change.is_empty or _landed(tools, run_id, change, attempt) is None:\n"
        "            continue\n        if _landed(",
        tests=("tests/publishing/test_withdraw.py",),
    ),
    Fault(
        name="resume_repeats_a_committed_table",
        file="publishing/publish.py",
        right="    version = _landed(tools, run_id, change, attempt)\n    if version is None:\n",
        wrong="    version = None\n    if version is None:\n",
        tests=SIMULATOR,
    ),
    Fault(
        name="foreign_files_not_taken_out",
        file="execution/apply.py",
        right="    if any(k in foreign for k in keys):\n        live =",
        wrong="    if False:\n        live =",
        tests=SIMULATOR,
    ),
    Fault(
        name="rollback_does_not_hash_the_files",
        file="execution/rollback.py",
        right=" or sha256_of(path) != file.sha256:",
        wrong=":",
        tests=("tests/e2e/test_rollback.py",),
    ),
    Fault(
        name="early_cutoff_ignores_foreign",
        file="execution/stage.py",
        right="head.digest == digest and key not in foreign\n",
        wrong="head.digest == digest\n",
        tests=SIMULATOR,
    ),
    Fault(
        name="audit_entry_outside_of_the_transaction",
        file="store/sql_store.py",
        right="        with self._writing() as connection:\n            return finish(connection, outcome)\n",
        wrong="        with self._writing() as connection:\n"
        "            audit_log.append(connection, outcome.audit)\n"
        "        with self._writing() as connection:\n            return finish(connection, outcome)\n",
        tests=("tests/store/test_store_contract.py",),
    ),
    Fault(
        name="resumed_ingest_trusts_what_it_staged",
        file="ingestion/ingest.py",
        right="            if not is_intended and compared != _newest(tools, source.dataset):\n"
        "                continue\n",
        wrong="",
        tests=("tests/sim/test_simulator.py::test_a_history_that_failed_once_holds",),
    ),
)
