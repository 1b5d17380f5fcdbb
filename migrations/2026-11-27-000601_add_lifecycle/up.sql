-- The life of a package: settings of packages, states of versions, channels, the trash and retention rules. Every new
-- column is nullable or has a constant default, so adding it rewrites nothing, and the previous version leaves it out.
-- The constraints are validated in the next step. The previous version shows drafts to everybody who may read the
-- owner, lets files be added to sealed versions and deletes versions on hold: use these states once no server runs it.
-- Its sweep leaves the bytes of the trash alone, because a foreign key protects them, but logs that it failed.

SET LOCAL lock_timeout = '5s';

CREATE TABLE retention_rules (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT retention_rules_pkey PRIMARY KEY,
    owner_id bigint NOT NULL CONSTRAINT retention_rules_owner_id_fkey REFERENCES owners ON DELETE CASCADE,
    place integer NOT NULL,
    name text NOT NULL,
    lower_name text NOT NULL,
    is_enabled boolean NOT NULL,
    packages text[] NOT NULL,
    versions text[] NOT NULL,
    labels jsonb NOT NULL DEFAULT '{}',
    match_full_name boolean NOT NULL DEFAULT false,
    delete_pattern text,
    keep_pattern text,
    delete_older_than_days integer CONSTRAINT retention_rules_delete_older_than_days_sane CHECK (delete_older_than_days >= 0),
    delete_not_downloaded_for_days integer CONSTRAINT retention_rules_delete_not_downloaded_for_days_sane
        CHECK (delete_not_downloaded_for_days >= 0),
    delete_superseded_prereleases boolean NOT NULL DEFAULT false,
    keep_last integer CONSTRAINT retention_rules_keep_last_sane CHECK (keep_last >= 0),
    keep_last_per smallint NOT NULL DEFAULT 0 CONSTRAINT retention_rules_keep_last_per_known CHECK (keep_last_per IN (0, 1, 2)),
    keep_versions text[] NOT NULL,
    keep_if_downloaded_within_days integer CONSTRAINT retention_rules_keep_if_downloaded_within_days_sane
        CHECK (keep_if_downloaded_within_days >= 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT retention_rules_owner_id_lower_name_key UNIQUE (owner_id, lower_name)
);
COMMENT ON TABLE retention_rules IS 'Which versions a job moves to the trash, and which it protects.';
COMMENT ON COLUMN retention_rules.place IS 'The rule''s place in its owner''s list.';
COMMENT ON COLUMN retention_rules.packages IS 'Patterns of package names in which * stands for anything; empty: every package.';
COMMENT ON COLUMN retention_rules.versions IS 'Patterns of versions, likewise.';
COMMENT ON COLUMN retention_rules.labels IS 'The labels that a version must have.';
COMMENT ON COLUMN retention_rules.match_full_name IS 'The two regular expressions are compared with package/version instead of the version, as in Gitea.';
COMMENT ON COLUMN retention_rules.delete_pattern IS 'A regular expression: the rule is about versions that match it.';
COMMENT ON COLUMN retention_rules.keep_pattern IS 'A regular expression: versions that match it are kept.';
COMMENT ON COLUMN retention_rules.keep_last_per IS 'keep_last is counted for each: 0 package, 1 major version, 2 minor version.';

CREATE TABLE trash (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT trash_pkey PRIMARY KEY,
    owner_id bigint NOT NULL CONSTRAINT trash_owner_id_fkey REFERENCES owners ON DELETE CASCADE,
    kind smallint NOT NULL CONSTRAINT trash_kind_known CHECK (kind IN (0, 1, 2)),
    package_name text NOT NULL,
    version text CONSTRAINT trash_version_fits_kind CHECK ((version IS NULL) = (kind = 2)),
    file_name text CONSTRAINT trash_file_name_fits_kind CHECK ((file_name IS NULL) = (kind <> 0)),
    reason smallint NOT NULL CONSTRAINT trash_reason_known CHECK (reason BETWEEN 0 AND 4),
    rule text NOT NULL DEFAULT '',
    actor_id bigint CONSTRAINT trash_actor_id_fkey REFERENCES users ON DELETE SET NULL,
    actor_name text NOT NULL,
    deleted_at timestamptz NOT NULL,
    keep_until timestamptz NOT NULL,
    versions bigint NOT NULL CONSTRAINT trash_versions_sane CHECK (versions >= 0),
    files bigint NOT NULL CONSTRAINT trash_files_sane CHECK (files >= 0),
    bytes bigint NOT NULL CONSTRAINT trash_bytes_sane CHECK (bytes >= 0)
);
COMMENT ON TABLE trash IS 'What was deleted and can be restored: an entry for each deletion.';
COMMENT ON COLUMN trash.kind IS 'What was deleted: 0 a file, 1 a version, 2 a package.';
COMMENT ON COLUMN trash.reason IS '0 deleted by someone, 1 replaced by an upload, 2 moved away, 3 expired, 4 deleted by a retention rule.';
COMMENT ON COLUMN trash.rule IS 'The name of the retention rule.';
COMMENT ON COLUMN trash.actor_name IS 'Who deleted it, by the name of that time; the system''s name for a job.';
COMMENT ON COLUMN trash.versions IS 'How many versions were deleted with it.';
COMMENT ON COLUMN trash.bytes IS 'In all its files; shared bytes count once per file.';
CREATE INDEX trash_owner_id_idx ON trash (owner_id, id);
CREATE INDEX trash_actor_id_idx ON trash (actor_id);
CREATE INDEX trash_keep_until_idx ON trash (keep_until);

CREATE TABLE trashed_packages (
    trash_id bigint CONSTRAINT trashed_packages_pkey PRIMARY KEY
        CONSTRAINT trashed_packages_trash_id_fkey REFERENCES trash ON DELETE CASCADE,
    facts jsonb NOT NULL
);
COMMENT ON TABLE trashed_packages IS 'The package that disappeared with a deletion.';
COMMENT ON COLUMN trashed_packages.facts IS 'Its row in packages.';

CREATE TABLE trashed_versions (
    id bigint CONSTRAINT trashed_versions_pkey PRIMARY KEY,
    trash_id bigint NOT NULL CONSTRAINT trashed_versions_trash_id_fkey REFERENCES trash ON DELETE CASCADE,
    facts jsonb NOT NULL
);
COMMENT ON TABLE trashed_versions IS 'Versions that disappeared with a deletion.';
COMMENT ON COLUMN trashed_versions.id IS 'Its former versions.id.';
COMMENT ON COLUMN trashed_versions.facts IS 'Its row in versions.';
CREATE INDEX trashed_versions_trash_id_idx ON trashed_versions (trash_id);

CREATE TABLE trashed_files (
    id bigint CONSTRAINT trashed_files_pkey PRIMARY KEY,
    trash_id bigint NOT NULL CONSTRAINT trashed_files_trash_id_fkey REFERENCES trash ON DELETE CASCADE,
    version_id bigint NOT NULL,
    blob_id bigint NOT NULL CONSTRAINT trashed_files_blob_id_fkey REFERENCES blobs ON DELETE RESTRICT,
    name text NOT NULL,
    lower_name text NOT NULL,
    creator_id bigint CONSTRAINT trashed_files_creator_id_fkey REFERENCES users ON DELETE SET NULL,
    created_at timestamptz NOT NULL,
    download_count bigint NOT NULL
);
COMMENT ON TABLE trashed_files IS 'Files that disappeared with a deletion. They keep their bytes from being removed.';
COMMENT ON COLUMN trashed_files.id IS 'Its former files.id.';
COMMENT ON COLUMN trashed_files.version_id IS 'The versions.id that it had; the version may be in the trash too.';
CREATE INDEX trashed_files_trash_id_idx ON trashed_files (trash_id);
CREATE INDEX trashed_files_blob_id_idx ON trashed_files (blob_id);
CREATE INDEX trashed_files_creator_id_idx ON trashed_files (creator_id);

CREATE TABLE channels (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT channels_pkey PRIMARY KEY,
    package_id bigint NOT NULL CONSTRAINT channels_package_id_fkey REFERENCES packages ON DELETE CASCADE,
    name text NOT NULL,
    lower_name text NOT NULL,
    version text NOT NULL,
    lower_version text NOT NULL,
    updater_id bigint CONSTRAINT channels_updater_id_fkey REFERENCES users ON DELETE SET NULL,
    updated_at timestamptz NOT NULL,
    revision bigint NOT NULL DEFAULT 1,
    CONSTRAINT channels_package_id_lower_name_key UNIQUE (package_id, lower_name)
);
COMMENT ON TABLE channels IS 'Names of a package that stand for one of its versions, such as beta.';
COMMENT ON COLUMN channels.version IS 'The version it stands for. There is no foreign key: if the version is deleted, the channel is broken until it is moved.';
COMMENT ON COLUMN channels.revision IS 'Counts the changes: the ETag of the channel.';
CREATE INDEX channels_updater_id_idx ON channels (updater_id);

ALTER TABLE packages
    ADD COLUMN description text NOT NULL DEFAULT '',
    ADD COLUMN homepage text NOT NULL DEFAULT '',
    ADD COLUMN source_url text NOT NULL DEFAULT '',
    ADD COLUMN license text NOT NULL DEFAULT '',
    ADD COLUMN labels jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN readme text NOT NULL DEFAULT '',
    ADD COLUMN archived_at timestamptz,
    ADD COLUMN visibility smallint,
    ADD COLUMN overwrite_versions text[] NOT NULL DEFAULT '{}',
    ADD COLUMN seal_after_seconds bigint,
    ADD CONSTRAINT packages_labels_are_texts
        CHECK (jsonb_typeof(labels) = 'object' AND NOT jsonb_path_exists(labels, '$.* ? (@.type() != "string")')) NOT VALID,
    ADD CONSTRAINT packages_visibility_known CHECK (visibility BETWEEN 0 AND 2) NOT VALID,
    ADD CONSTRAINT packages_seal_after_seconds_sane CHECK (seal_after_seconds >= 0) NOT VALID;
COMMENT ON COLUMN packages.readme IS 'Markdown; empty: the README file of its newest version is shown.';
COMMENT ON COLUMN packages.archived_at IS 'Since when nothing can be published to it.';
COMMENT ON COLUMN packages.visibility IS '0 public, 1 limited (signed-in), 2 private; null: as its owner.';
COMMENT ON COLUMN packages.overwrite_versions IS 'Patterns of the versions whose files may be replaced; empty: of none.';
COMMENT ON COLUMN packages.seal_after_seconds IS 'A version is sealed this long after it was published; null: never.';

ALTER TABLE versions
    ADD COLUMN state smallint NOT NULL DEFAULT 1,
    ADD COLUMN published_at timestamptz,
    ADD COLUMN sealed_at timestamptz,
    ADD COLUMN notes text NOT NULL DEFAULT '',
    ADD COLUMN labels jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN is_prerelease boolean,
    ADD COLUMN yanked_at timestamptz,
    ADD COLUMN yank_reason text NOT NULL DEFAULT '',
    ADD COLUMN deprecated_at timestamptz,
    ADD COLUMN deprecation_message text NOT NULL DEFAULT '',
    ADD COLUMN successor text,
    ADD COLUMN held_at timestamptz,
    ADD COLUMN hold_reason text NOT NULL DEFAULT '',
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN last_downloaded_at timestamptz,
    ADD CONSTRAINT versions_state_known CHECK (state IN (0, 1, 2)) NOT VALID,
    ADD CONSTRAINT versions_sealed_at_fits_state CHECK ((sealed_at IS NOT NULL) = (state = 2)) NOT VALID,
    ADD CONSTRAINT versions_labels_are_texts
        CHECK (jsonb_typeof(labels) = 'object' AND NOT jsonb_path_exists(labels, '$.* ? (@.type() != "string")')) NOT VALID;
COMMENT ON COLUMN versions.state IS '0 draft, 1 published, 2 sealed. The order is used: a draft is visible to its publishers only.';
COMMENT ON COLUMN versions.published_at IS 'When a draft was published; null: when it was created, unless it is a draft.';
COMMENT ON COLUMN versions.notes IS 'Markdown.';
COMMENT ON COLUMN versions.is_prerelease IS 'Null: as its name says (SemVer).';
COMMENT ON COLUMN versions.yanked_at IS 'Since when latest, selectors and channels skip it.';
COMMENT ON COLUMN versions.successor IS 'The version to use instead of a deprecated one.';
COMMENT ON COLUMN versions.held_at IS 'Since when it cannot be deleted.';
COMMENT ON COLUMN versions.expires_at IS 'When a job moves it to the trash.';
COMMENT ON COLUMN versions.last_downloaded_at IS 'The last download of one of its files, some seconds late; null: none since this was recorded.';
