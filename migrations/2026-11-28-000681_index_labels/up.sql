-- For searches: most versions have no labels.
CREATE INDEX CONCURRENTLY versions_labeled_idx ON versions (id) WHERE labels <> '{}';
