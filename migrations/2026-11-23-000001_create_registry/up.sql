-- The whole registry. Names are kept twice: as first written (shown) and folded to lower case (compared);
-- the folding is the program's, so that it does not change with the database's collation.

CREATE TABLE owners (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT owners_pkey PRIMARY KEY,
    kind smallint NOT NULL CONSTRAINT owners_kind_known CHECK (kind IN (0, 1)),
    name text NOT NULL,
    lower_name text NOT NULL CONSTRAINT owners_lower_name_key UNIQUE,
    full_name text NOT NULL DEFAULT '',
    description text NOT NULL DEFAULT '',
    website text NOT NULL DEFAULT '',
    location text NOT NULL DEFAULT '',
    visibility smallint NOT NULL DEFAULT 0 CONSTRAINT owners_visibility_known CHECK (visibility BETWEEN 0 AND 2),
    quota_versions bigint CONSTRAINT owners_quota_versions_sane CHECK (quota_versions >= -1),
    quota_bytes bigint CONSTRAINT owners_quota_bytes_sane CHECK (quota_bytes >= -1),
    quota_file_bytes bigint CONSTRAINT owners_quota_file_bytes_sane CHECK (quota_file_bytes >= -1),
    created_at timestamptz NOT NULL,
    CONSTRAINT owners_id_kind_key UNIQUE (id, kind)
);
COMMENT ON TABLE owners IS 'Users and organizations: one name space.';
COMMENT ON COLUMN owners.kind IS '0 user, 1 organization.';
COMMENT ON COLUMN owners.visibility IS '0 public, 1 limited (signed-in), 2 private. The order is used: smaller is wider.';
COMMENT ON COLUMN owners.quota_versions IS 'Most package versions; -1 none, null the instance''s default.';
COMMENT ON COLUMN owners.quota_bytes IS 'Most bytes in all files together, not deduplicated; -1 none, null the instance''s default.';
COMMENT ON COLUMN owners.quota_file_bytes IS 'Most bytes of one file; -1 none, null the instance''s default.';

CREATE TABLE owner_redirects (
    lower_name text CONSTRAINT owner_redirects_pkey PRIMARY KEY,
    owner_id bigint NOT NULL CONSTRAINT owner_redirects_owner_id_fkey REFERENCES owners ON DELETE CASCADE,
    created_at timestamptz NOT NULL
);
COMMENT ON TABLE owner_redirects IS 'Names an owner had before a rename; they lead to the new one until somebody else takes them.';
CREATE INDEX owner_redirects_owner_id_idx ON owner_redirects (owner_id);

CREATE TABLE users (
    id bigint CONSTRAINT users_pkey PRIMARY KEY,
    kind smallint NOT NULL DEFAULT 0 CONSTRAINT users_kind_is_user CHECK (kind = 0),
    email text NOT NULL,
    lower_email text NOT NULL CONSTRAINT users_lower_email_key UNIQUE,
    password_hash text,
    is_admin boolean NOT NULL DEFAULT false,
    is_active boolean NOT NULL DEFAULT true,
    is_locked boolean NOT NULL DEFAULT false,
    must_change_password boolean NOT NULL DEFAULT false,
    auth_epoch integer NOT NULL DEFAULT 0,
    last_login_at timestamptz,
    CONSTRAINT users_owner_fkey FOREIGN KEY (id, kind) REFERENCES owners (id, kind) ON DELETE CASCADE
);
COMMENT ON TABLE users IS 'What only a user has; the rest of him is in owners.';
COMMENT ON COLUMN users.password_hash IS 'Argon2id as a PHC string; null: no password signs in.';
COMMENT ON COLUMN users.is_active IS 'False until approved; an inactive user has no access.';
COMMENT ON COLUMN users.is_locked IS 'Gitea''s prohibit_login: no access by any credential.';
COMMENT ON COLUMN users.auth_epoch IS 'Counted up by a change of password, second factor or lock: ends sessions and remembered logins.';

CREATE TABLE teams (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT teams_pkey PRIMARY KEY,
    org_id bigint NOT NULL,
    org_kind smallint NOT NULL DEFAULT 1 CONSTRAINT teams_org_is_organization CHECK (org_kind = 1),
    name text NOT NULL,
    lower_name text NOT NULL,
    description text NOT NULL DEFAULT '',
    permission smallint NOT NULL CONSTRAINT teams_permission_known CHECK (permission BETWEEN 1 AND 4),
    created_at timestamptz NOT NULL,
    CONSTRAINT teams_org_id_fkey FOREIGN KEY (org_id, org_kind) REFERENCES owners (id, kind) ON DELETE CASCADE,
    CONSTRAINT teams_org_id_lower_name_key UNIQUE (org_id, lower_name)
);
COMMENT ON COLUMN teams.permission IS '1 read, 2 write, 3 admin, 4 owner. A member has the highest of his teams.';

CREATE TABLE team_members (
    team_id bigint NOT NULL CONSTRAINT team_members_team_id_fkey REFERENCES teams ON DELETE CASCADE,
    user_id bigint NOT NULL CONSTRAINT team_members_user_id_fkey REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    CONSTRAINT team_members_pkey PRIMARY KEY (team_id, user_id)
);
CREATE INDEX team_members_user_id_idx ON team_members (user_id);

CREATE TABLE tokens (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT tokens_pkey PRIMARY KEY,
    user_id bigint NOT NULL CONSTRAINT tokens_user_id_fkey REFERENCES users ON DELETE CASCADE,
    name text NOT NULL,
    lower_name text NOT NULL,
    hash bytea NOT NULL CONSTRAINT tokens_hash_key UNIQUE CONSTRAINT tokens_hash_is_sha256 CHECK (length(hash) = 32),
    last_eight text NOT NULL,
    scopes text[] NOT NULL,
    owner_ids bigint[],
    package_patterns text[],
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    last_used_at timestamptz,
    last_used_from text,
    CONSTRAINT tokens_user_id_lower_name_key UNIQUE (user_id, lower_name)
);
COMMENT ON COLUMN tokens.hash IS 'SHA-256 of the secret, which is shown once and kept nowhere.';
COMMENT ON COLUMN tokens.owner_ids IS 'The only owners it is good for; null: all of the user''s. Empty: none is left.';
COMMENT ON COLUMN tokens.package_patterns IS 'The only package names it is good for, * standing for anything; null: all.';

CREATE TABLE sessions (
    id uuid CONSTRAINT sessions_pkey PRIMARY KEY,
    user_id bigint NOT NULL CONSTRAINT sessions_user_id_fkey REFERENCES users ON DELETE CASCADE,
    auth_epoch integer NOT NULL,
    created_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    address text NOT NULL,
    user_agent text NOT NULL
);
CREATE INDEX sessions_user_id_idx ON sessions (user_id);
CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);

CREATE TABLE second_factors (
    user_id bigint CONSTRAINT second_factors_pkey PRIMARY KEY
        CONSTRAINT second_factors_user_id_fkey REFERENCES users ON DELETE CASCADE,
    sealed_seed bytea NOT NULL,
    last_step bigint NOT NULL DEFAULT 0,
    confirmed_at timestamptz
);
COMMENT ON TABLE second_factors IS 'TOTP (RFC 6238). It counts once it is confirmed.';
COMMENT ON COLUMN second_factors.sealed_seed IS 'The seed, encrypted with a key kept outside the database.';
COMMENT ON COLUMN second_factors.last_step IS 'The last 30-second step whose code was used: a code works once.';

CREATE TABLE recovery_codes (
    user_id bigint NOT NULL CONSTRAINT recovery_codes_user_id_fkey REFERENCES second_factors ON DELETE CASCADE,
    hash bytea NOT NULL,
    used_at timestamptz,
    CONSTRAINT recovery_codes_pkey PRIMARY KEY (user_id, hash)
);

CREATE TABLE attempts (
    bucket text CONSTRAINT attempts_pkey PRIMARY KEY,
    window_ends_at timestamptz NOT NULL,
    count integer NOT NULL
);
COMMENT ON TABLE attempts IS 'Sign-in attempts by account, address and in all, shared by all servers of this database.';

CREATE TABLE blobs (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT blobs_pkey PRIMARY KEY,
    sha256 bytea NOT NULL CONSTRAINT blobs_sha256_key UNIQUE CONSTRAINT blobs_sha256_length CHECK (length(sha256) = 32),
    size bigint NOT NULL CONSTRAINT blobs_size_sane CHECK (size >= 0),
    storage_key text NOT NULL CONSTRAINT blobs_storage_key_key UNIQUE,
    block_checksums bytea NOT NULL DEFAULT '',
    sha512 bytea CONSTRAINT blobs_sha512_length CHECK (length(sha512) = 64),
    sha1 bytea CONSTRAINT blobs_sha1_length CHECK (length(sha1) = 20),
    md5 bytea CONSTRAINT blobs_md5_length CHECK (length(md5) = 16),
    touched_at timestamptz NOT NULL,
    CONSTRAINT blobs_other_digests_together CHECK (num_nulls(sha512, sha1, md5) IN (0, 3))
);
COMMENT ON TABLE blobs IS 'Bytes, stored once per SHA-256.';
COMMENT ON COLUMN blobs.storage_key IS 'Where the store has them: digest and a random part, so that no key is ever used twice.';
COMMENT ON COLUMN blobs.block_checksums IS 'CRC-32 of each MiB, little-endian, of blobs over 1 MiB: damage is found while sending.';
COMMENT ON COLUMN blobs.touched_at IS 'When it was last uploaded, or last lost a file: a sweep''s grace begins here.';
COMMENT ON COLUMN blobs.sha512 IS 'With sha1 and md5 null until computed, for blobs over 1 MiB right after the upload.';
CREATE INDEX blobs_without_other_digests_idx ON blobs (id) WHERE sha512 IS NULL;

CREATE TABLE packages (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT packages_pkey PRIMARY KEY,
    owner_id bigint NOT NULL CONSTRAINT packages_owner_id_fkey REFERENCES owners ON DELETE RESTRICT,
    name text NOT NULL,
    lower_name text NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT packages_owner_id_lower_name_key UNIQUE (owner_id, lower_name)
);

CREATE TABLE versions (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT versions_pkey PRIMARY KEY,
    package_id bigint NOT NULL CONSTRAINT versions_package_id_fkey REFERENCES packages ON DELETE CASCADE,
    version text NOT NULL,
    lower_version text NOT NULL,
    creator_id bigint CONSTRAINT versions_creator_id_fkey REFERENCES users ON DELETE SET NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT versions_package_id_lower_version_key UNIQUE (package_id, lower_version)
);
CREATE INDEX versions_package_id_created_at_idx ON versions (package_id, created_at, id);
CREATE INDEX versions_creator_id_idx ON versions (creator_id);

CREATE TABLE files (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT files_pkey PRIMARY KEY,
    version_id bigint NOT NULL CONSTRAINT files_version_id_fkey REFERENCES versions ON DELETE CASCADE,
    blob_id bigint NOT NULL CONSTRAINT files_blob_id_fkey REFERENCES blobs ON DELETE RESTRICT,
    name text NOT NULL,
    lower_name text NOT NULL,
    creator_id bigint CONSTRAINT files_creator_id_fkey REFERENCES users ON DELETE SET NULL,
    created_at timestamptz NOT NULL,
    download_count bigint NOT NULL DEFAULT 0,
    CONSTRAINT files_version_id_lower_name_key UNIQUE (version_id, lower_name)
);
CREATE INDEX files_blob_id_idx ON files (blob_id);
CREATE INDEX files_creator_id_idx ON files (creator_id);

CREATE TABLE owner_usage (
    owner_id bigint CONSTRAINT owner_usage_pkey PRIMARY KEY
        CONSTRAINT owner_usage_owner_id_fkey REFERENCES owners ON DELETE CASCADE,
    versions bigint NOT NULL,
    bytes bigint NOT NULL
);
COMMENT ON TABLE owner_usage IS 'What an owner stores, up to the changes that wait in usage_changes.';

CREATE TABLE usage_changes (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT usage_changes_pkey PRIMARY KEY,
    owner_id bigint NOT NULL CONSTRAINT usage_changes_owner_id_fkey REFERENCES owners ON DELETE CASCADE,
    versions bigint NOT NULL,
    bytes bigint NOT NULL
);
COMMENT ON TABLE usage_changes IS 'Not yet added to owner_usage. Rows are appended, so that publishers of one owner never wait for each other.';
CREATE INDEX usage_changes_owner_id_idx ON usage_changes (owner_id);

CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT audit_pkey PRIMARY KEY,
    at timestamptz NOT NULL,
    actor_id bigint,
    actor_name text NOT NULL,
    credential text NOT NULL,
    token_id bigint,
    address text,
    event text NOT NULL,
    owner_id bigint,
    owner_name text,
    subject text NOT NULL DEFAULT '',
    detail jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE audit IS 'One row a change. Ids have no foreign keys: the record outlives what it speaks of.';
COMMENT ON COLUMN audit.credential IS 'token, password, session, command-line or system.';
CREATE INDEX audit_at_idx ON audit (at);
CREATE INDEX audit_actor_id_idx ON audit (actor_id, id);
CREATE INDEX audit_owner_id_idx ON audit (owner_id, id);
CREATE INDEX audit_event_idx ON audit (event, id);

CREATE TABLE settings (
    key text CONSTRAINT settings_pkey PRIMARY KEY,
    value jsonb NOT NULL
);
COMMENT ON TABLE settings IS 'Facts of this instance that must outlive its processes, such as the id of its blob store.';
