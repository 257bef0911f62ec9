"""Suites of Delta's, held on Iceberg as they are, at full size only.

Those of conflicts between the commits to two tables are left out: on Iceberg there is no such moment.
"""

from __future__ import annotations

import pytest

from tests.e2e.test_clean_up import *  # noqa: F403
from tests.e2e.test_foreign import (  # noqa: F401
    test_a_foreign_partition_that_no_input_calls_for_is_healed_too,
    test_a_foreign_write_between_plan_and_apply_to_a_planned_partition_is_not_overwritten,
    test_a_foreign_write_is_reported_and_healed,
    test_a_foreign_write_stays_reported_while_runs_write_other_partitions,
    test_a_foreign_write_to_another_partition_during_a_run_survives_beside_it,
    test_a_foreign_write_while_a_run_stages_is_a_conflict_and_nothing_is_published,
    test_an_append_to_bronze_by_somebody_else_stops_planning,
    test_an_ingest_does_not_hide_what_somebody_else_did_to_bronze,
)
from tests.e2e.test_leases import *  # noqa: F403
from tests.e2e.test_readers import project, test_no_reader_sees_a_part_of_a_run  # noqa: F401
from tests.e2e.test_sigkill import *  # noqa: F403
from tests.e2e.test_tampering import (  # noqa: F401
    original,
    test_a_damaged_file_is_mended_to_the_byte_or_made_again,
    test_what_changes_no_row_is_no_alarm,
)
from tests.proof import full_size, proof

pytestmark = [
    pytest.mark.slow,
    proof,
    full_size,
    pytest.mark.usefixtures("on_iceberg"),
]
