-- Counts the versions of a package without its drafts from the index alone. It only adds an index, so the
-- previous version works with it.
CREATE INDEX CONCURRENTLY versions_package_id_state_idx ON versions (package_id, state);
