-- Counts the versions of an owner without its drafts from the index alone. It only adds an index, so the
-- previous version works with it.
CREATE INDEX CONCURRENTLY versions_owner_id_state_idx ON versions (owner_id, state);
