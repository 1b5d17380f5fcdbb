-- The extension stays: it may be in use by others, and harms nobody. So do the values, which go with their column.
DROP INDEX IF EXISTS files_lower_name_trgm_idx;
DROP INDEX IF EXISTS versions_lower_version_trgm_idx;
DROP INDEX IF EXISTS packages_lower_name_trgm_idx;
DROP INDEX blobs_md5_idx;
DROP INDEX blobs_sha1_idx;
DROP INDEX blobs_sha512_idx;
DROP INDEX packages_lower_name_idx;
DROP INDEX packages_id_owner_id_key;
DROP INDEX versions_created_at_idx;
DROP INDEX versions_owner_id_created_at_idx;
