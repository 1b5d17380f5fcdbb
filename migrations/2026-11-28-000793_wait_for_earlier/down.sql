COMMENT ON FUNCTION forget_by_version() IS NULL;
COMMENT ON FUNCTION forget_owner(BIGINT) IS NULL;
CREATE OR REPLACE FUNCTION forget_owner(owner BIGINT) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('packhouse.took_away', 'yes', true);
    PERFORM pg_notify('packhouse_coherence', coalesce(owner::text, 'all'));
END $$;
