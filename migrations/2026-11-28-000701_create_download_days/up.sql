-- How often the files of each package were downloaded on each day, for the plot on its page. A new table, which the
-- previous version doesn't know: its downloads are in the totals alone.

CREATE TABLE download_days (
    package_id bigint NOT NULL,
    day date NOT NULL,
    downloads bigint NOT NULL,
    CONSTRAINT download_days_pkey PRIMARY KEY (package_id, day)
);
COMMENT ON TABLE download_days IS 'Downloads of all files of a package on a day (UTC), kept for 90 days.';
COMMENT ON COLUMN download_days.package_id IS 'No foreign key: counting must not wait for a deletion, and what is restored from the trash has its days again.';
CREATE INDEX download_days_day_idx ON download_days (day);
COMMENT ON INDEX download_days_day_idx IS 'The days that are old enough to be deleted.';
