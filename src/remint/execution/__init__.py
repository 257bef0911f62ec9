"""What a run does: stage, audit, publish, resume, roll back, diff, verify."""
