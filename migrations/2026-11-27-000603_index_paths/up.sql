-- For the files below a directory of a version. Only names with a / are in it, so no upload without one pays for it.
-- The previous version cannot read a file name with a slash, and fails on a version that has one: publish the first of
-- them once no server of that version runs.
CREATE INDEX CONCURRENTLY files_paths_idx ON files (version_id, lower_name COLLATE "C") WHERE position('/' IN lower_name) > 0;
