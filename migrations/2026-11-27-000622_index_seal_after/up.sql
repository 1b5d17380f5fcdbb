-- For the job that seals versions: the packages whose versions are sealed by time. Only those are in it.
CREATE INDEX CONCURRENTLY packages_seal_after_idx ON packages (id) WHERE seal_after_seconds IS NOT NULL;
