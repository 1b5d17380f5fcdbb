-- Who sees and changes one package: grants to users and teams, teams that are limited to some packages, protection
-- rules, and for each owner how wide and how narrow the visibilities of their packages are. New columns are nullable or
-- have a constant default; their constraints are validated in the next step. The previous version knows nothing of all
-- this: it shows a narrower package to everybody who sees its owner, gives a limited team all packages and ignores
-- protections. Use them once no server runs it.

SET LOCAL lock_timeout = '5s';

CREATE TABLE grants (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT grants_pkey PRIMARY KEY,
    owner_id bigint NOT NULL CONSTRAINT grants_owner_id_fkey REFERENCES owners ON DELETE CASCADE,
    pattern text NOT NULL,
    lower_pattern text NOT NULL,
    user_id bigint CONSTRAINT grants_user_id_fkey REFERENCES users ON DELETE CASCADE,
    team_id bigint CONSTRAINT grants_team_id_fkey REFERENCES teams ON DELETE CASCADE,
    permission smallint NOT NULL CONSTRAINT grants_permission_known CHECK (permission BETWEEN 1 AND 3),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT grants_have_one_grantee CHECK (num_nulls(user_id, team_id) = 1),
    CONSTRAINT grants_owner_id_lower_pattern_user_id_key UNIQUE (owner_id, lower_pattern, user_id),
    CONSTRAINT grants_owner_id_lower_pattern_team_id_key UNIQUE (owner_id, lower_pattern, team_id)
);
COMMENT ON TABLE grants IS 'Rights that an owner gives a user or a team to some of its packages.';
COMMENT ON COLUMN grants.owner_id IS 'The owner of the packages.';
COMMENT ON COLUMN grants.pattern IS 'The packages: a pattern of names in which * stands for anything.';
COMMENT ON COLUMN grants.permission IS '1 read, 2 write, 3 admin.';
CREATE INDEX grants_user_id_idx ON grants (user_id);
CREATE INDEX grants_team_id_idx ON grants (team_id);

CREATE TABLE protections (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT protections_pkey PRIMARY KEY,
    owner_id bigint NOT NULL CONSTRAINT protections_owner_id_fkey REFERENCES owners ON DELETE CASCADE,
    name text NOT NULL,
    lower_name text NOT NULL,
    packages text NOT NULL,
    versions text NOT NULL,
    publish smallint NOT NULL CONSTRAINT protections_publish_known CHECK (publish BETWEEN 2 AND 5),
    replace smallint NOT NULL CONSTRAINT protections_replace_known CHECK (replace BETWEEN 2 AND 5),
    remove smallint NOT NULL CONSTRAINT protections_remove_known CHECK (remove BETWEEN 2 AND 5),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT protections_owner_id_lower_name_key UNIQUE (owner_id, lower_name)
);
COMMENT ON TABLE protections IS 'The least role that may change some versions of some packages of an owner.';
COMMENT ON COLUMN protections.packages IS 'A pattern of package names in which * stands for anything.';
COMMENT ON COLUMN protections.versions IS 'A pattern of versions, likewise.';
COMMENT ON COLUMN protections.publish IS 'Who may add files: 2 write, 3 admin, 4 owner, 5 nobody.';
COMMENT ON COLUMN protections.replace IS 'Who may replace files, likewise.';
COMMENT ON COLUMN protections.remove IS 'Who may delete files and versions, likewise.';

ALTER TABLE teams
    ADD COLUMN package_patterns text[],
    ADD CONSTRAINT teams_owners_are_unlimited CHECK (package_patterns IS NULL OR permission < 4) NOT VALID;
COMMENT ON COLUMN teams.package_patterns IS 'The only packages that the team''s permission is for, * standing for anything; null: all.';

ALTER TABLE owners
    ADD COLUMN widest_package smallint NOT NULL DEFAULT 2,
    ADD COLUMN narrowest_package smallint NOT NULL DEFAULT 0,
    ADD CONSTRAINT owners_widest_package_known CHECK (widest_package BETWEEN 0 AND 2) NOT VALID,
    ADD CONSTRAINT owners_narrowest_package_known CHECK (narrowest_package BETWEEN 0 AND 2) NOT VALID;
COMMENT ON COLUMN owners.widest_package IS 'The widest visibility of a package that has one of its own; 2 without any. Kept by a trigger, so that finding an owner reads no packages.';
COMMENT ON COLUMN owners.narrowest_package IS 'The narrowest visibility of a package that has one of its own; 0 without any.';

CREATE FUNCTION packages_span_owner() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed bigint;
BEGIN
    FOR changed IN EXECUTE CASE TG_OP
        WHEN 'INSERT' THEN 'SELECT DISTINCT owner_id FROM after_change WHERE visibility IS NOT NULL ORDER BY 1'
        WHEN 'DELETE' THEN 'SELECT DISTINCT owner_id FROM before_change WHERE visibility IS NOT NULL ORDER BY 1'
        ELSE 'SELECT DISTINCT owner_id FROM (SELECT id, owner_id, visibility FROM before_change WHERE visibility IS NOT NULL '
            'UNION ALL SELECT id, owner_id, visibility FROM after_change WHERE visibility IS NOT NULL) AS either '
            'GROUP BY id, owner_id, visibility HAVING count(*) = 1 ORDER BY 1'
    END LOOP
        -- Changes of one owner take turns here, and the statement after it sees what the one before has committed.
        PERFORM 1 FROM owners WHERE id = changed FOR NO KEY UPDATE;
        UPDATE owners SET widest_package = span.widest, narrowest_package = span.narrowest
        FROM (SELECT coalesce(min(visibility), 2) AS widest, coalesce(max(visibility), 0) AS narrowest
            FROM packages WHERE owner_id = changed AND visibility IS NOT NULL) AS span
        WHERE id = changed AND (widest_package, narrowest_package) IS DISTINCT FROM (span.widest, span.narrowest);
    END LOOP;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION packages_span_owner() IS 'Keeps owners.widest_package and owners.narrowest_package.';
CREATE TRIGGER packages_span_owner_insert AFTER INSERT ON packages
    REFERENCING NEW TABLE AS after_change FOR EACH STATEMENT EXECUTE FUNCTION packages_span_owner();
CREATE TRIGGER packages_span_owner_update AFTER UPDATE ON packages
    REFERENCING OLD TABLE AS before_change NEW TABLE AS after_change FOR EACH STATEMENT EXECUTE FUNCTION packages_span_owner();
CREATE TRIGGER packages_span_owner_delete AFTER DELETE ON packages
    REFERENCING OLD TABLE AS before_change FOR EACH STATEMENT EXECUTE FUNCTION packages_span_owner();
