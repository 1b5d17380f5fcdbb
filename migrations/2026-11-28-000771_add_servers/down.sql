SET LOCAL lock_timeout = '5s';
DROP FUNCTION forget_by_id, forget_by_user, forget_by_owner, forget_by_org, forget_by_version, forget_all CASCADE;
DROP FUNCTION forget_owner;
DROP SEQUENCE coherence_syncs;
DROP TABLE servers;
