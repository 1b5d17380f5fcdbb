-- For the trigger that keeps the widest and the narrowest visibility of an owner's packages.
CREATE INDEX CONCURRENTLY packages_own_visibility_idx ON packages (owner_id, visibility) WHERE visibility IS NOT NULL;
