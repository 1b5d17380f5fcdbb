-- What was stored on each day, for the plot of the growth: summing it up from the files anew would read all of them.

CREATE TABLE daily_totals (
    day date NOT NULL,
    versions bigint NOT NULL,
    bytes bigint NOT NULL,
    blobs bigint NOT NULL,
    blob_bytes bigint NOT NULL,
    CONSTRAINT daily_totals_pkey PRIMARY KEY (day)
);
COMMENT ON TABLE daily_totals IS 'What all owners stored at the end of each day (UTC), written down by a job.';
COMMENT ON COLUMN daily_totals.bytes IS 'In all files, the same bytes counted each time.';
COMMENT ON COLUMN daily_totals.blob_bytes IS 'In the store, each once.';
