-- A version carries its package's owner, so that an owner's versions are an index in the order they are listed in. In
-- three steps, each short or without a lock that readers wait for: the column, its values and indexes, its constraints.
-- A program that does not know the column yet leaves it out, and the trigger fills it in.
ALTER TABLE versions ADD COLUMN owner_id bigint;
COMMENT ON COLUMN versions.owner_id IS 'The owner of its package, kept equal by the foreign key.';
CREATE FUNCTION versions_take_owner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT owner_id INTO NEW.owner_id FROM packages WHERE id = NEW.package_id;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION versions_take_owner() IS 'For programs older than versions.owner_id.';
CREATE TRIGGER versions_take_owner BEFORE INSERT ON versions
    FOR EACH ROW WHEN (NEW.owner_id IS NULL) EXECUTE FUNCTION versions_take_owner();
