-- The extension stays: it may be in use by others, and harms nobody.
DROP INDEX IF EXISTS files_lower_name_trgm_idx;
DROP INDEX IF EXISTS versions_lower_version_trgm_idx;
DROP INDEX IF EXISTS packages_lower_name_trgm_idx;
DROP INDEX blobs_md5_idx;
DROP INDEX blobs_sha1_idx;
DROP INDEX blobs_sha512_idx;
DROP INDEX packages_lower_name_idx;
DROP INDEX versions_created_at_idx;
DROP INDEX versions_owner_id_created_at_idx;
ALTER TABLE versions DROP CONSTRAINT versions_package_id_owner_id_fkey;
ALTER TABLE versions ADD CONSTRAINT versions_package_id_fkey FOREIGN KEY (package_id) REFERENCES packages ON DELETE CASCADE;
ALTER TABLE packages DROP CONSTRAINT packages_id_owner_id_key;
DROP TRIGGER versions_take_owner ON versions;
DROP FUNCTION versions_take_owner();
ALTER TABLE versions DROP COLUMN owner_id;
