DROP TABLE settings, audit, usage_changes, owner_usage, files, versions, packages, blobs, attempts, recovery_codes,
    second_factors, sessions, tokens, team_members, teams, users, owner_redirects, owners;
