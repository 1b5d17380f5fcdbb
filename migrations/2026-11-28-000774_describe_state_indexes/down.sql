COMMENT ON INDEX versions_owner_id_state_idx IS NULL;
COMMENT ON INDEX versions_package_id_state_idx IS NULL;
