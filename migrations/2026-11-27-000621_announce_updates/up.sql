-- Webhooks tell of versions that were sealed, yanked, deprecated or put on hold. The constraint is only widened. The
-- previous version never writes the new action and can't read it: beside this version it logs an error and leaves the
-- delivery to a server with this version, which sends it, and its page of that webhook's deliveries fails. Nothing is
-- lost. Without this version, revert this step, which deletes those deliveries: otherwise they would hold up all other
-- webhooks.

ALTER TABLE hook_deliveries DROP CONSTRAINT hook_deliveries_action_known;
ALTER TABLE hook_deliveries ADD CONSTRAINT hook_deliveries_action_known CHECK (action IN (0, 1, 2, 3)) NOT VALID;
COMMENT ON COLUMN hook_deliveries.action IS '0 created, 1 deleted, 2 damaged, 3 updated.';
COMMENT ON INDEX versions_drafts_idx IS 'The versions that only publishers see.';
