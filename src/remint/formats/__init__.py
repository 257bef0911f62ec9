"""Table formats: observe a table, publish file replacements, nothing else."""
