-- What lists and searches of a million files need: versions that know their owner, orders that are indexes, and names
-- that are found by a part of them.

-- A version carries its package's owner, so that an owner's versions are an index in the order they are listed in. The
-- foreign key keeps the two equal, also when a package changes hands. A program that does not know the column yet
-- leaves it out, and the trigger fills it in.
ALTER TABLE versions ADD COLUMN owner_id bigint;
COMMENT ON COLUMN versions.owner_id IS 'The owner of its package, kept equal by the foreign key.';
UPDATE versions SET owner_id = packages.owner_id FROM packages WHERE packages.id = versions.package_id;
CREATE FUNCTION versions_take_owner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT owner_id INTO NEW.owner_id FROM packages WHERE id = NEW.package_id;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION versions_take_owner() IS 'For programs older than versions.owner_id.';
CREATE TRIGGER versions_take_owner BEFORE INSERT ON versions
    FOR EACH ROW WHEN (NEW.owner_id IS NULL) EXECUTE FUNCTION versions_take_owner();
ALTER TABLE packages ADD CONSTRAINT packages_id_owner_id_key UNIQUE (id, owner_id);
ALTER TABLE versions ALTER COLUMN owner_id SET NOT NULL;
ALTER TABLE versions DROP CONSTRAINT versions_package_id_fkey;
ALTER TABLE versions ADD CONSTRAINT versions_package_id_owner_id_fkey FOREIGN KEY (package_id, owner_id)
    REFERENCES packages (id, owner_id) ON DELETE CASCADE ON UPDATE CASCADE;
CREATE INDEX versions_owner_id_created_at_idx ON versions (owner_id, created_at, id);
COMMENT ON INDEX versions_owner_id_created_at_idx IS 'An owner''s versions, the newest first.';
CREATE INDEX versions_created_at_idx ON versions (created_at, id);
COMMENT ON INDEX versions_created_at_idx IS 'All versions, the newest first: searches.';

CREATE INDEX packages_lower_name_idx ON packages (lower_name COLLATE "C", id);
COMMENT ON INDEX packages_lower_name_idx IS 'All packages by name, in an order that no collation changes: searches.';

-- Files are found by any of their digests. Hashes, because nobody asks for a range of them.
CREATE INDEX blobs_sha512_idx ON blobs USING hash (sha512);
CREATE INDEX blobs_sha1_idx ON blobs USING hash (sha1);
CREATE INDEX blobs_md5_idx ON blobs USING hash (md5);

-- Trigrams find a part of a name without reading all names. pg_trgm comes with Postgres and the owner of a database may
-- create it, but some installations lack it: there names are read one by one, with the same result a little later.
DO $$
DECLARE
    place text;
BEGIN
    BEGIN
        CREATE EXTENSION IF NOT EXISTS pg_trgm;
    EXCEPTION WHEN OTHERS THEN
        RAISE NOTICE 'searches will be slower, as there is no pg_trgm: %', SQLERRM;
    END;
    SELECT quote_ident(nspname) INTO place FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
    WHERE extname = 'pg_trgm';
    IF place IS NOT NULL THEN
        EXECUTE format('CREATE INDEX packages_lower_name_trgm_idx ON packages USING gin (lower_name %s.gin_trgm_ops)', place);
        EXECUTE format('CREATE INDEX versions_lower_version_trgm_idx ON versions USING gin (lower_version %s.gin_trgm_ops)', place);
        EXECUTE format('CREATE INDEX files_lower_name_trgm_idx ON files USING gin (lower_name %s.gin_trgm_ops)', place);
    END IF;
END $$;

-- The planner learns of the column at once, not when the next automatic run comes by.
ANALYZE versions;
