-- Drafts, the trash, channels and retention rules are lost, and so are all settings of packages and versions. Drafts
-- are deleted: the previous version would show them.
SET LOCAL lock_timeout = '5s';
DELETE FROM versions WHERE state = 0;
DELETE FROM packages p WHERE NOT EXISTS (SELECT FROM versions v WHERE v.package_id = p.id);
ALTER TABLE versions
    DROP COLUMN state,
    DROP COLUMN published_at,
    DROP COLUMN sealed_at,
    DROP COLUMN notes,
    DROP COLUMN labels,
    DROP COLUMN is_prerelease,
    DROP COLUMN yanked_at,
    DROP COLUMN yank_reason,
    DROP COLUMN deprecated_at,
    DROP COLUMN deprecation_message,
    DROP COLUMN successor,
    DROP COLUMN held_at,
    DROP COLUMN hold_reason,
    DROP COLUMN expires_at,
    DROP COLUMN last_downloaded_at;
ALTER TABLE packages
    DROP COLUMN description,
    DROP COLUMN homepage,
    DROP COLUMN source_url,
    DROP COLUMN license,
    DROP COLUMN labels,
    DROP COLUMN readme,
    DROP COLUMN archived_at,
    DROP COLUMN visibility,
    DROP COLUMN overwrite_versions,
    DROP COLUMN seal_after_seconds;
DROP TABLE channels;
DROP TABLE trashed_files;
DROP TABLE trashed_versions;
DROP TABLE trashed_packages;
DROP TABLE trash;
DROP TABLE retention_rules;
