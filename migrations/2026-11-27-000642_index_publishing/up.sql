-- For the feed of an owner: drafts that were published, by when that was. Other versions are found by when they were
-- created.
CREATE INDEX CONCURRENTLY versions_published_at_idx ON versions (owner_id, published_at) WHERE published_at IS NOT NULL;
