-- Servers of a version without leases tell nobody what they take away, so no server remembers anything while they have
-- connections. But that is only looked at twice a second, and such a server may open its first connection in between.
-- Its change therefore lets all leases end before it commits: they can't be renewed under this lock. The previous
-- version works as before: its changes are made by connections with other names.
--
-- The reading of a file's version needs no lock: see the comment on the function.
CREATE OR REPLACE FUNCTION forget_owner(owner BIGINT) RETURNS void LANGUAGE plpgsql AS $$
DECLARE last_lease TIMESTAMPTZ;
BEGIN
    PERFORM set_config('packhouse.took_away', 'yes', true);
    PERFORM pg_notify('packhouse_coherence', coalesce(owner::text, 'all'));
    IF current_setting('application_name') IN ('packhouse read', 'packhouse write') THEN
        LOCK TABLE servers IN EXCLUSIVE MODE;
        SELECT max(lease_until) INTO last_lease FROM servers WHERE lease_until > clock_timestamp();
        IF last_lease IS NOT NULL THEN
            PERFORM pg_sleep_until(last_lease);
        END IF;
    END IF;
END $$;

COMMENT ON FUNCTION forget_owner(BIGINT) IS 'Tells all servers, with the commit, to forget what they remember of an owner or a user; null for everything.';
COMMENT ON FUNCTION forget_by_version() IS 'Reads the owner without a lock: versions.owner_id never changes, and a version that another transaction deletes is still visible here, because deleting it waits for the lock on this file.';
