-- Describes the two indexes before, whose migrations can contain nothing else.
COMMENT ON INDEX versions_owner_id_state_idx IS 'The versions of an owner by state: counts without reading the rows.';
COMMENT ON INDEX versions_package_id_state_idx IS 'The versions of a package by state: counts without reading the rows.';
