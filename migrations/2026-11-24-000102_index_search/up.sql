-- What lists and searches of a million files need: versions that know their owner, orders that are indexes, and names
-- that are found by a part of them. Readers wait for none of it; uploads wait until it is done.

-- In the order in which a publisher takes them, so that he waits for the first and has none of the others.
LOCK TABLE packages, versions, blobs, files IN SHARE ROW EXCLUSIVE MODE;
UPDATE versions SET owner_id = packages.owner_id FROM packages
WHERE packages.id = versions.package_id AND versions.owner_id IS NULL;
CREATE INDEX versions_owner_id_created_at_idx ON versions (owner_id, created_at, id);
COMMENT ON INDEX versions_owner_id_created_at_idx IS 'An owner''s versions, the newest first.';
CREATE INDEX versions_created_at_idx ON versions (created_at, id);
COMMENT ON INDEX versions_created_at_idx IS 'All versions, the newest first: searches.';

CREATE UNIQUE INDEX packages_id_owner_id_key ON packages (id, owner_id);
COMMENT ON INDEX packages_id_owner_id_key IS 'What the foreign key of versions refers to.';
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
