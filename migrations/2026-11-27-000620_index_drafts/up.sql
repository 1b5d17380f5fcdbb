-- For the packages that have nothing but drafts, which no reader may count. Only drafts are in it, so it stays small.
CREATE INDEX CONCURRENTLY versions_drafts_idx ON versions (owner_id, package_id) WHERE state = 0;
