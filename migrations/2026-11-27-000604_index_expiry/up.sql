-- For the job that moves expired versions to the trash.
CREATE INDEX CONCURRENTLY versions_expires_at_idx ON versions (expires_at) WHERE expires_at IS NOT NULL;
