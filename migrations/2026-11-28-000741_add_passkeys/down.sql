SET LOCAL lock_timeout = '5s';
DELETE FROM second_factors WHERE NOT has_totp;
ALTER TABLE second_factors DROP COLUMN has_totp;
DROP TABLE used_challenges;
DROP TABLE passkeys;
