-- Keeps a version's owner equal to its package's, also when a package changes hands. The only lock that readers wait
-- for is taken last, and let go at once.
ALTER TABLE versions ADD CONSTRAINT versions_package_id_owner_id_fkey FOREIGN KEY (package_id, owner_id)
    REFERENCES packages (id, owner_id) ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE versions ALTER COLUMN owner_id SET NOT NULL;
ALTER TABLE versions DROP CONSTRAINT versions_package_id_fkey;
