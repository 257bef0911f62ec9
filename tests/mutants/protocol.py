"""Faults planted in the protocol that publishes, records and undoes; many are met by histories of the simulator."""

from __future__ import annotations

from tests.mutants.faults import Fault

SIMULATOR = ("tests/sim/test_simulator.py::test_whatever_happens_in_memory_everything_holds[0]",)
FAILED_ONCE = "tests/sim/test_simulator.py::test_a_history_that_failed_once_holds"
POWER = "tests/faults/test_sweeps.py::test_what_was_said_to_be_done_survives_a_loss_of_power"
CONTRACT = "tests/formats/test_contract.py"
DELTA = "tests/formats/test_delta.py"
STORE = "tests/store/test_store_contract.py"
WITHDRAW = "tests/publishing/test_withdraw.py"

PROTOCOL = (
    Fault(
        name="journal_before_publish",
        file="publishing/publish.py",
        right="    landed = tools.tables.publish([",
        wrong='    early = {"dataset": group[0].dataset.name, "version": -1, "seconds": 0}\n'
        "    tools.store.journal_append(run_id, StepKind.PUBLISHED, early)\n"
        "    landed = tools.tables.publish([",
        tests=SIMULATOR,
        says="I10: ",
    ),
    Fault(
        name="publishing_before_the_intent",
        file="store/sql_store.py",
        right="        with self._writing_for(run_id) as connection:\n"
        "            intend(connection, run_id, payload, fence, newest)\n",
        wrong="        with self._writing_for(run_id) as connection:\n"
        "            runs.move(connection, runs.exact(connection, run_id), RunState.PUBLISHING)\n"
        "        with self._writing_for(run_id) as connection:\n"
        "            for name, seq in newest.items():\n"
        '                intend.__globals__["_check_newest"](connection, run_id, name, seq)\n'
        "            ledger.check_fence(connection, fence)\n"
        "            runs.append_step(connection, run_id, StepKind.PUBLISH_INTENT, payload)\n",
        tests=(f"{STORE}::TestLeases::test_one_run_at_a_time_publishes_to_a_dataset_of_which_every_unit_matters",),
        says="IndexError",
        is_quick=True,
    ),
    Fault(
        name="withdrawal_without_intent",
        file="publishing/publish.py",
        right='    tools.store.journal_append(run_id, StepKind.WITHDRAW_INTENT, {"attempt": attempt}, audit=intent)\n',
        wrong="",
        tests=(f"{WITHDRAW}::test_a_kill_while_taking_back_is_finished_by_resume",),
        says="AssertionError",
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
        says="FileNotFoundError",
    ),
    Fault(
        name="no_base_check",
        file="formats/delta.py",
        right="        require_base(table, before, replacement)\n",
        wrong="",
        tests=(f"{CONTRACT}::test_a_replacement_of_files_that_are_not_live_is_a_conflict_and_commits_nothing[delta]",),
        says="DID NOT RAISE",
        is_quick=True,
    ),
    Fault(
        name="retry_does_not_check_the_base_again",
        file="formats/delta.py",
        right="        before = _live(storage, opened, table)\n        require_base(",
        wrong='        before = locals()["before"] if "before" in locals() else _live(storage, opened, table)\n'
        "        require_base(",
        tests=(f"{CONTRACT}::test_a_commit_that_lost_a_race_looks_at_the_base_again[delta]",),
        says="PublishConflict",
        is_quick=True,
    ),
    Fault(
        name="rows_deleted_by_vectors_are_not_seen",
        file="formats/delta.py",
        right="        for mask in _masks(storage, opened, table, keys.keys()):",
        wrong="        for mask in ():",
        tests=(f"{DELTA}::test_a_file_with_a_deletion_vector_is_taken_out_whole_and_put_back_as_it_was",),
        says="AssertionError",
    ),
    Fault(
        name="a_file_goes_without_its_vector",
        file="formats/delta_log.py",
        right="yield file, {_MASK: mask_named(masks[file.path])} if file.path in masks else {}",
        wrong="yield file, {}",
        tests=(f"{DELTA}::test_a_file_with_a_deletion_vector_is_taken_out_whole_and_put_back_as_it_was",),
        says="PublishUnverified: gold.t: version",
    ),
    Fault(
        name="a_path_goes_as_delta_rs_spells_it",
        file="formats/delta_entries.py",
        right="if path in gone and said != quoted_path(path)}",
        wrong="if path in gone and said != said}",
        tests=(f"{DELTA}::test_a_file_whose_path_another_writer_spelled_in_its_way_is_taken_out",),
        says="PublishUnverified",
    ),
    Fault(
        name="a_commit_is_repeated",
        file="formats/delta.py",
        right="if (reached := _reached(opened, replacement.run_id)) >= replacement.attempt:",
        wrong="if (reached := _reached(opened, replacement.run_id)) > replacement.attempt:",
        tests=(f"{CONTRACT}::test_a_commit_that_is_there_is_not_repeated_and_one_that_is_barred_never_comes[delta]",),
        says="PublishConflict",
        is_quick=True,
    ),
    Fault(
        name="commit_not_synced",
        file="formats/delta.py",
        right="        _verify(storage, table, version, before, replacement)\n"
        "        sync_version(storage, table, version)\n",
        wrong="        _verify(storage, table, version, before, replacement)\n",
        tests=(POWER,),
        says="power",
    ),
    Fault(
        name="staged_file_not_synced",
        file="storage/local.py",
        right="        os.fsync(file.fileno())\n    return digest\n",
        wrong="    return digest\n",
        tests=(POWER,),
        says="power",
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
        says="I14: ",
    ),
    Fault(
        name="unproven_input_read",
        file="execution/stage.py",
        right="        require_intact(self.tools, dataset, list(new.values()))\n        self.proven",
        wrong="        self.proven",
        tests=("tests/e2e/test_tampering.py::test_a_flipped_bit_in_bronze_stops_the_run_and_says_what_to_do",),
        says="TransformFailed",
    ),
    Fault(
        name="ledger_fence_dropped",
        file="store/finish.py",
        right="    ledger.check_fence(connection, outcome.fence)\n",
        wrong="",
        tests=(f"{STORE}::TestFinish::test_a_head_that_moved_is_a_conflict_and_nothing_is_written",),
        says="DID NOT RAISE",
        is_quick=True,
    ),
    Fault(
        name="lease_without_fence",
        file="store/leases.py",
        right="    if newest != held:\n",
        wrong="    if newest < held:\n",
        tests=(f"{STORE}::TestLeases::test_an_earlier_holder_writes_nothing",),
        says="DID NOT RAISE",
        is_quick=True,
    ),
    Fault(
        name="watermark_moved_at_the_start",
        file="store/sql_store.py",
        right="            run = admit(connection, run, plan_json, audit, admission)\n",
        wrong="            run = admit(connection, run, plan_json, audit, admission)\n"
        '            if run.mode == "incremental" and plan_json:\n'
        "                name = plan_json.split('\"dataset\": \"')[1].split('\"')[0]\n"
        '                watermarks.advance(connection, run, {name: "2026-12-31"}, run.started_at)\n',
        tests=SIMULATOR,
        says="I3: ",
    ),
    Fault(
        name="release_written_before_the_ledger",
        file="store/finish.py",
        right="    ledger.append(connection, outcome.records, outcome.ended_at)\n",
        wrong="    releases.append(connection, run.run_id, outcome.versions, outcome.ended_at)\n"
        "    releases.append = lambda *_: _release_of(connection, run.run_id)\n"
        "    ledger.append(connection, outcome.records, outcome.ended_at)\n",
        tests=(f"{STORE}::TestFinish::test_a_finished_run_has_succeeded_and_made_a_release",),
        says="last_seq",
    ),
    Fault(
        name="withdraw_forgets_a_table",
        file="publishing/publish.py",
        right="    live = [c for c in changes if not c.is_empty and _is_live(",
        wrong="    live = [c for c in changes[1:] if not c.is_empty and _is_live(",
        tests=(f"{WITHDRAW}::test_a_conflict_after_the_first_commit_leaves_nothing_of_the_run_live",),
        says="AssertionError",
    ),
    Fault(
        name="foreign_files_not_taken_out",
        file="execution/apply.py",
        right="    if any(k in foreign for k in keys):\n        live =",
        wrong="    if False:\n        live =",
        tests=SIMULATOR,
        says="its live files are not those that are replaced",
    ),
    Fault(
        name="early_cutoff_ignores_foreign",
        file="execution/stage.py",
        right="head.digest == digests[key] and key not in foreign\n",
        wrong="head.digest == digests[key]\n",
        tests=SIMULATOR,
        says="I12: ",
    ),
    Fault(
        name="rollback_does_not_hash_the_files",
        file="execution/rollback.py",
        right=" or (not is_proven and tools.storage.sha256(place) != file.sha256):",
        wrong=":",
        tests=("tests/e2e/test_rollback.py::test_a_rollback_is_refused_when_a_file_that_it_needs_is_not_as_published",),
        says="DID NOT RAISE",
    ),
    Fault(
        name="audit_entry_outside_of_the_transaction",
        file="store/sql_store.py",
        right="        with self._writing_for(outcome.run_id) as connection:\n"
        "            return finish(connection, outcome)\n",
        wrong="        with self._writing() as connection:\n"
        "            audit_log.append(connection, outcome.audit)\n"
        "        with self._writing_for(outcome.run_id) as connection:\n"
        "            return finish(connection, outcome)\n",
        tests=(f"{STORE}::TestFinish::test_one_bad_part_leaves_everything_as_it_was",),
        says="audit_log",
        is_quick=True,
    ),
    Fault(
        name="audit_chain_skipped",
        file="store/audit_log.py",
        right='"hash": entry_hash(previous, columns)',
        wrong='"hash": entry_hash(GENESIS, columns)',
        tests=("tests/store/test_audit_chain.py::test_every_way_to_log_continues_the_chain",),
        says="AssertionError",
        is_quick=True,
    ),
    Fault(
        name="resumed_ingest_trusts_what_it_staged",
        file="ingestion/ingest.py",
        right='            if entry.payload["newest"] != intake.newest[source.dataset]:\n                continue\n',
        wrong="",
        tests=(f"{FAILED_ONCE}[ingest-resumed-after-another]",),
        says="I12: ",
        is_quick=True,
    ),
    Fault(
        name="killed_ingest_records_what_it_compared_first",
        file="ingestion/ingest.py",
        right='            if entry.payload["newest"] != intake.newest[source.dataset]:\n',
        wrong='            if again and entry.payload["newest"] != intake.newest[source.dataset]:\n',
        tests=(f"{FAILED_ONCE}[what-was-compared-first-recorded]",),
        says="FilesDamaged",
        is_quick=True,
    ),
)
