ALTER TABLE tokens DROP COLUMN no_redirects;
