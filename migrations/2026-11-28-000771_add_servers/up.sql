-- The servers of this database, and how a server that remembers rights and files learns what no longer holds.
SET LOCAL lock_timeout = '5s';

CREATE TABLE servers (
    id BIGINT,
    version TEXT NOT NULL,
    address TEXT NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    seen_at TIMESTAMPTZ NOT NULL,
    lease_until TIMESTAMPTZ,
    acknowledged BIGINT NOT NULL DEFAULT 0,
    CONSTRAINT servers_pkey PRIMARY KEY (id)
);
COMMENT ON TABLE servers IS 'The servers of this database. All times are the clock of the database.';
COMMENT ON COLUMN servers.lease_until IS 'Until then the server may use what it remembers, so a change that takes something away waits for its acknowledgment.';
COMMENT ON COLUMN servers.acknowledged IS 'The last number of coherence_syncs that the server has received.';

CREATE SEQUENCE coherence_syncs;
COMMENT ON SEQUENCE coherence_syncs IS 'Numbers that are taken after a commit and sent to all servers: a server that has received one has received everything committed before.';

-- Tells all servers, with the commit of this transaction, to forget what they remember of an owner or a user, and marks
-- the transaction, so that the program waits for them. An owner and a user share one id.
CREATE FUNCTION forget_owner(owner BIGINT) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('packhouse.took_away', 'yes', true);
    PERFORM pg_notify('packhouse_coherence', coalesce(owner::text, 'all'));
END $$;

CREATE FUNCTION forget_by_id() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM forget_owner(OLD.id); RETURN NULL; END $$;
CREATE FUNCTION forget_by_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM forget_owner(OLD.user_id); RETURN NULL; END $$;
CREATE FUNCTION forget_by_owner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM forget_owner(OLD.owner_id); RETURN NULL; END $$;
CREATE FUNCTION forget_by_org() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM forget_owner(OLD.org_id); RETURN NULL; END $$;
CREATE FUNCTION forget_by_version() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE owner BIGINT;
BEGIN
    SELECT owner_id INTO owner FROM versions WHERE id = OLD.version_id;
    -- If the version is gone too, its own trigger has told the servers.
    IF FOUND THEN PERFORM forget_owner(owner); END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION forget_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM forget_owner(NULL); RETURN NULL; END $$;

-- Rows that only appear take nothing away. Counters and times of use are not remembered.
CREATE TRIGGER packages_forget_delete AFTER DELETE ON packages FOR EACH ROW EXECUTE FUNCTION forget_by_owner();
CREATE TRIGGER packages_forget_update AFTER UPDATE OF owner_id, name, lower_name, visibility, seal_after_seconds ON packages
    FOR EACH ROW WHEN ((OLD.owner_id, OLD.name, OLD.lower_name, OLD.visibility, OLD.seal_after_seconds)
        IS DISTINCT FROM (NEW.owner_id, NEW.name, NEW.lower_name, NEW.visibility, NEW.seal_after_seconds))
    EXECUTE FUNCTION forget_by_owner();
CREATE TRIGGER packages_forget_truncate AFTER TRUNCATE ON packages EXECUTE FUNCTION forget_all();

CREATE TRIGGER versions_forget_delete AFTER DELETE ON versions FOR EACH ROW EXECUTE FUNCTION forget_by_owner();
CREATE TRIGGER versions_forget_update AFTER UPDATE OF package_id, owner_id, version, lower_version, state, published_at,
        sealed_at, yanked_at, yank_reason, deprecated_at, deprecation_message, successor, held_at, expires_at ON versions
    FOR EACH ROW WHEN ((OLD.package_id, OLD.owner_id, OLD.version, OLD.lower_version, OLD.state, OLD.published_at,
            OLD.sealed_at, OLD.yanked_at, OLD.yank_reason, OLD.deprecated_at, OLD.deprecation_message, OLD.successor,
            OLD.held_at, OLD.expires_at)
        IS DISTINCT FROM (NEW.package_id, NEW.owner_id, NEW.version, NEW.lower_version, NEW.state, NEW.published_at,
            NEW.sealed_at, NEW.yanked_at, NEW.yank_reason, NEW.deprecated_at, NEW.deprecation_message, NEW.successor,
            NEW.held_at, NEW.expires_at))
    EXECUTE FUNCTION forget_by_owner();
CREATE TRIGGER versions_forget_truncate AFTER TRUNCATE ON versions EXECUTE FUNCTION forget_all();

CREATE TRIGGER files_forget_delete AFTER DELETE ON files FOR EACH ROW EXECUTE FUNCTION forget_by_version();
CREATE TRIGGER files_forget_update AFTER UPDATE OF version_id, blob_id, name, lower_name, created_at ON files
    FOR EACH ROW WHEN ((OLD.version_id, OLD.blob_id, OLD.name, OLD.lower_name, OLD.created_at)
        IS DISTINCT FROM (NEW.version_id, NEW.blob_id, NEW.name, NEW.lower_name, NEW.created_at))
    EXECUTE FUNCTION forget_by_version();
CREATE TRIGGER files_forget_truncate AFTER TRUNCATE ON files EXECUTE FUNCTION forget_all();

CREATE TRIGGER owners_forget_delete AFTER DELETE ON owners FOR EACH ROW EXECUTE FUNCTION forget_by_id();
CREATE TRIGGER owners_forget_update AFTER UPDATE OF kind, name, lower_name, visibility ON owners
    FOR EACH ROW WHEN ((OLD.kind, OLD.name, OLD.lower_name, OLD.visibility)
        IS DISTINCT FROM (NEW.kind, NEW.name, NEW.lower_name, NEW.visibility))
    EXECUTE FUNCTION forget_by_id();
CREATE TRIGGER owners_forget_truncate AFTER TRUNCATE ON owners EXECUTE FUNCTION forget_all();

CREATE TRIGGER users_forget_delete AFTER DELETE ON users FOR EACH ROW EXECUTE FUNCTION forget_by_id();
CREATE TRIGGER users_forget_update AFTER UPDATE OF password_hash, is_admin, is_active, is_locked, must_change_password,
        auth_epoch ON users
    FOR EACH ROW WHEN ((OLD.password_hash, OLD.is_admin, OLD.is_active, OLD.is_locked, OLD.must_change_password, OLD.auth_epoch)
        IS DISTINCT FROM (NEW.password_hash, NEW.is_admin, NEW.is_active, NEW.is_locked, NEW.must_change_password, NEW.auth_epoch))
    EXECUTE FUNCTION forget_by_id();
CREATE TRIGGER users_forget_truncate AFTER TRUNCATE ON users EXECUTE FUNCTION forget_all();

CREATE TRIGGER tokens_forget_delete AFTER DELETE ON tokens FOR EACH ROW EXECUTE FUNCTION forget_by_user();
CREATE TRIGGER tokens_forget_update AFTER UPDATE OF user_id, hash, scopes, owner_ids, package_patterns, expires_at,
        feeds_only, creator_name, identity ON tokens
    FOR EACH ROW WHEN ((OLD.user_id, OLD.hash, OLD.scopes, OLD.owner_ids, OLD.package_patterns, OLD.expires_at,
            OLD.feeds_only, OLD.creator_name, OLD.identity)
        IS DISTINCT FROM (NEW.user_id, NEW.hash, NEW.scopes, NEW.owner_ids, NEW.package_patterns, NEW.expires_at,
            NEW.feeds_only, NEW.creator_name, NEW.identity))
    EXECUTE FUNCTION forget_by_user();
CREATE TRIGGER tokens_forget_truncate AFTER TRUNCATE ON tokens EXECUTE FUNCTION forget_all();

CREATE TRIGGER teams_forget_change AFTER UPDATE OR DELETE ON teams FOR EACH ROW EXECUTE FUNCTION forget_by_org();
CREATE TRIGGER teams_forget_truncate AFTER TRUNCATE ON teams EXECUTE FUNCTION forget_all();
CREATE TRIGGER team_members_forget_change AFTER UPDATE OR DELETE ON team_members
    FOR EACH ROW EXECUTE FUNCTION forget_by_user();
CREATE TRIGGER team_members_forget_truncate AFTER TRUNCATE ON team_members EXECUTE FUNCTION forget_all();
CREATE TRIGGER grants_forget_change AFTER UPDATE OR DELETE ON grants FOR EACH ROW EXECUTE FUNCTION forget_by_owner();
CREATE TRIGGER grants_forget_truncate AFTER TRUNCATE ON grants EXECUTE FUNCTION forget_all();
