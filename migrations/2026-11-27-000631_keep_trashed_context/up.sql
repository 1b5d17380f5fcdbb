-- A file can be restored after its version or package has disappeared, with the settings that they had when the file
-- was deleted: a package that was private must not come back public. No server has written to the trash yet.

SET LOCAL lock_timeout = '5s';

ALTER TABLE trash
    ADD COLUMN version_facts jsonb,
    ADD CONSTRAINT trash_version_facts_fits_kind CHECK ((version_facts IS NOT NULL) = (kind = 0));
COMMENT ON COLUMN trash.version_facts IS 'The row in versions that a deleted file belonged to, without its notes if the version stayed.';
COMMENT ON TABLE trashed_packages IS 'The package of each deletion, whether it disappeared or stayed.';
COMMENT ON COLUMN trashed_packages.facts IS 'Its row in packages, and its channels if it disappeared; without its readme if it stayed.';
