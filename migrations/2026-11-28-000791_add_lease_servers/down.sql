ALTER TABLE mails DROP COLUMN leased_by;
ALTER TABLE hooks DROP COLUMN leased_by;
