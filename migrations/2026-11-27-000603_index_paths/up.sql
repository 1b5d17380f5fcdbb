-- For the files below a directory of a version. Only names with a / are in it, so no upload without one pays for it.
CREATE INDEX CONCURRENTLY files_paths_idx ON files (version_id, lower_name COLLATE "C") WHERE position('/' IN lower_name) > 0;
