-- Which server sends a webhook's deliveries or a mail. If that server has ended, another one takes over at once instead
-- of waiting for the end of the lease. The columns are nullable. The previous version doesn't write them: its leases end
-- by their time alone, and a lease that it takes from a dead server may end too early, so that a delivery is sent twice.
SET LOCAL lock_timeout = '5s';

ALTER TABLE hooks ADD COLUMN leased_by BIGINT;
COMMENT ON COLUMN hooks.leased_by IS 'The server that holds the lease, as servers.id; null if unknown.';
ALTER TABLE mails ADD COLUMN leased_by BIGINT;
COMMENT ON COLUMN mails.leased_by IS 'The server that holds the lease, as servers.id; null if unknown.';
