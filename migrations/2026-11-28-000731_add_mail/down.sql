ALTER TABLE tokens DROP COLUMN expiry_announced;
ALTER TABLE users DROP COLUMN muted_mails, DROP COLUMN confirmed_email;
DROP TABLE reset_requests;
DROP TABLE email_links;
DROP TABLE mails;
