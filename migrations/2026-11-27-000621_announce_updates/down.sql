DELETE FROM hook_deliveries WHERE action = 3;
ALTER TABLE hook_deliveries DROP CONSTRAINT hook_deliveries_action_known;
ALTER TABLE hook_deliveries ADD CONSTRAINT hook_deliveries_action_known CHECK (action IN (0, 1, 2)) NOT VALID;
COMMENT ON COLUMN hook_deliveries.action IS '0 created, 1 deleted, 2 damaged.';
COMMENT ON INDEX versions_drafts_idx IS NULL;
