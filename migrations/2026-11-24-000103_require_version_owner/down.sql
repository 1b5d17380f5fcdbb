ALTER TABLE versions ADD CONSTRAINT versions_package_id_fkey FOREIGN KEY (package_id) REFERENCES packages ON DELETE CASCADE;
ALTER TABLE versions ALTER COLUMN owner_id DROP NOT NULL;
ALTER TABLE versions DROP CONSTRAINT versions_package_id_owner_id_fkey;
