-- Servers write their leases without waiting for the disk (synchronous_commit = off), so a database that crashes, or is
-- replaced by a standby, may forget a lease that its server still relies on. This table tells: it is unlogged, so it is
-- empty after a crash and on a standby that took over, and only then. The first changes after that wait as long as a
-- lease lasts. The table is new; the previous version doesn't know it and doesn't wait.

CREATE UNLOGGED TABLE database_runs (
    id SMALLINT,
    since TIMESTAMPTZ NOT NULL,
    CONSTRAINT database_runs_pkey PRIMARY KEY (id)
);
COMMENT ON TABLE database_runs IS 'One row, lost in each crash of the database and inserted by the first change after it.';
COMMENT ON COLUMN database_runs.since IS 'Leases that were granted later than 2 seconds before this time are in the table servers.';
INSERT INTO database_runs (id, since) VALUES (1, '-infinity');
