"""The publish protocol that every kind of run shares: intent, commit, read-back, one transaction."""
