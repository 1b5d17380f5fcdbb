COMMENT ON COLUMN trashed_packages.facts IS 'Its row in packages.';
COMMENT ON TABLE trashed_packages IS 'The package that disappeared with a deletion.';
ALTER TABLE trash DROP COLUMN version_facts;
