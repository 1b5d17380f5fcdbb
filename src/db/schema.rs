//! The tables in Diesel's terms. `tests/it/database.rs` compares them with the result of the migrations.

diesel::table! {
    attempts (bucket) {
        bucket -> Text,
        window_ends_at -> Timestamptz,
        count -> Int4,
    }
}

diesel::table! {
    audit (id) {
        id -> Int8,
        at -> Timestamptz,
        actor_id -> Nullable<Int8>,
        actor_name -> Text,
        credential -> Text,
        token_id -> Nullable<Int8>,
        address -> Nullable<Text>,
        event -> Text,
        owner_id -> Nullable<Int8>,
        owner_name -> Nullable<Text>,
        subject -> Text,
        detail -> Jsonb,
        administrator_id -> Nullable<Int8>,
        administrator_name -> Nullable<Text>,
        token_creator -> Nullable<Text>,
    }
}

diesel::table! {
    blobs (id) {
        id -> Int8,
        sha256 -> Bytea,
        size -> Int8,
        storage_key -> Text,
        block_checksums -> Bytea,
        sha512 -> Nullable<Bytea>,
        sha1 -> Nullable<Bytea>,
        md5 -> Nullable<Bytea>,
        touched_at -> Timestamptz,
    }
}

diesel::table! {
    channels (id) {
        id -> Int8,
        package_id -> Int8,
        name -> Text,
        lower_name -> Text,
        version -> Text,
        lower_version -> Text,
        updater_id -> Nullable<Int8>,
        updated_at -> Timestamptz,
        revision -> Int8,
    }
}

diesel::table! {
    daily_totals (day) {
        day -> Date,
        versions -> Int8,
        bytes -> Int8,
        blobs -> Int8,
        blob_bytes -> Int8,
    }
}

diesel::table! {
    damaged_blobs (blob_id) {
        blob_id -> Int8,
        storage_key -> Text,
        damage -> Int2,
        found_at -> Timestamptz,
    }
}

diesel::table! {
    download_days (package_id, day) {
        package_id -> Int8,
        day -> Date,
        downloads -> Int8,
    }
}

diesel::table! {
    database_runs (id) {
        id -> Int2,
        since -> Timestamptz,
    }
}

diesel::table! {
    email_links (id) {
        id -> Int8,
        kind -> Int2,
        user_id -> Int8,
        hash -> Bytea,
        email -> Text,
        auth_epoch -> Int4,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
        used_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    files (id) {
        id -> Int8,
        version_id -> Int8,
        blob_id -> Int8,
        name -> Text,
        lower_name -> Text,
        creator_id -> Nullable<Int8>,
        created_at -> Timestamptz,
        download_count -> Int8,
        identity -> Nullable<Jsonb>,
    }
}

diesel::table! {
    grants (id) {
        id -> Int8,
        owner_id -> Int8,
        pattern -> Text,
        lower_pattern -> Text,
        user_id -> Nullable<Int8>,
        team_id -> Nullable<Int8>,
        permission -> Int2,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    hook_attempts (delivery_id, number) {
        delivery_id -> Int8,
        number -> Int4,
        at -> Timestamptz,
        duration_ms -> Int4,
        request_headers -> Jsonb,
        status -> Nullable<Int4>,
        response_headers -> Jsonb,
        response_body -> Text,
        error -> Text,
    }
}

diesel::table! {
    hook_deliveries (id) {
        id -> Int8,
        hook_id -> Int8,
        uuid -> Uuid,
        action -> Int2,
        is_test -> Bool,
        facts -> Jsonb,
        state -> Int2,
        created_at -> Timestamptz,
        retry_until -> Timestamptz,
        next_attempt_at -> Nullable<Timestamptz>,
        tries -> Int4,
        attempts -> Int4,
    }
}

diesel::table! {
    hooks (id) {
        id -> Int8,
        owner_id -> Int8,
        kind -> Int2,
        url -> Text,
        content -> Int2,
        sealed_secret -> Nullable<Bytea>,
        sealed_authorization -> Nullable<Bytea>,
        active -> Bool,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        leased_until -> Nullable<Timestamptz>,
        served_at -> Nullable<Timestamptz>,
        leased_by -> Nullable<Int8>,
    }
}

diesel::table! {
    identities (id) {
        id -> Int8,
        user_id -> Int8,
        provider -> Text,
        issuer -> Text,
        subject -> Text,
        email -> Text,
        created_at -> Timestamptz,
        last_used_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    known_addresses (user_id, network) {
        user_id -> Int8,
        network -> Text,
        auth_epoch -> Int4,
        last_used_at -> Timestamptz,
    }
}

diesel::table! {
    mails (id) {
        id -> Int8,
        kind -> Int2,
        user_id -> Int8,
        recipient -> Text,
        facts -> Jsonb,
        sealed_code -> Nullable<Bytea>,
        created_at -> Timestamptz,
        retry_until -> Timestamptz,
        next_attempt_at -> Nullable<Timestamptz>,
        leased_until -> Nullable<Timestamptz>,
        attempts -> Int4,
        error -> Text,
        leased_by -> Nullable<Int8>,
    }
}

diesel::table! {
    owner_redirects (lower_name) {
        lower_name -> Text,
        owner_id -> Int8,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    owner_usage (owner_id) {
        owner_id -> Int8,
        versions -> Int8,
        bytes -> Int8,
    }
}

diesel::table! {
    owners (id) {
        id -> Int8,
        kind -> Int2,
        name -> Text,
        lower_name -> Text,
        full_name -> Text,
        description -> Text,
        website -> Text,
        location -> Text,
        visibility -> Int2,
        quota_versions -> Nullable<Int8>,
        quota_bytes -> Nullable<Int8>,
        quota_file_bytes -> Nullable<Int8>,
        created_at -> Timestamptz,
        widest_package -> Int2,
        narrowest_package -> Int2,
    }
}

diesel::table! {
    packages (id) {
        id -> Int8,
        owner_id -> Int8,
        name -> Text,
        lower_name -> Text,
        created_at -> Timestamptz,
        description -> Text,
        homepage -> Text,
        source_url -> Text,
        license -> Text,
        labels -> Jsonb,
        readme -> Text,
        archived_at -> Nullable<Timestamptz>,
        visibility -> Nullable<Int2>,
        overwrite_versions -> Array<Text>,
        seal_after_seconds -> Nullable<Int8>,
        trusted_publishing_only -> Bool,
    }
}

diesel::table! {
    passkeys (id) {
        id -> Int8,
        user_id -> Int8,
        credential_id -> Bytea,
        user_handle -> Bytea,
        public_key -> Bytea,
        state -> Bytea,
        transports -> Int2,
        name -> Text,
        created_at -> Timestamptz,
        last_used_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    protections (id) {
        id -> Int8,
        owner_id -> Int8,
        name -> Text,
        lower_name -> Text,
        packages -> Text,
        versions -> Text,
        publish -> Int2,
        replace -> Int2,
        remove -> Int2,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    publishers (id) {
        id -> Int8,
        owner_id -> Int8,
        provider -> Int2,
        issuer -> Text,
        package_pattern -> Text,
        conditions -> Jsonb,
        environment -> Nullable<Text>,
        created_at -> Timestamptz,
        last_used_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    recovery_codes (user_id, hash) {
        user_id -> Int8,
        hash -> Bytea,
        used_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    reset_requests (id) {
        id -> Int8,
        sealed_name -> Bytea,
        address -> Text,
        requested_at -> Timestamptz,
    }
}

diesel::table! {
    retention_rules (id) {
        id -> Int8,
        owner_id -> Int8,
        place -> Int4,
        name -> Text,
        lower_name -> Text,
        is_enabled -> Bool,
        packages -> Array<Text>,
        versions -> Array<Text>,
        labels -> Jsonb,
        match_full_name -> Bool,
        delete_pattern -> Nullable<Text>,
        keep_pattern -> Nullable<Text>,
        delete_older_than_days -> Nullable<Int4>,
        delete_not_downloaded_for_days -> Nullable<Int4>,
        delete_superseded_prereleases -> Bool,
        keep_last -> Nullable<Int4>,
        keep_last_per -> Int2,
        keep_versions -> Array<Text>,
        keep_if_downloaded_within_days -> Nullable<Int4>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    second_factors (user_id) {
        user_id -> Int8,
        sealed_seed -> Bytea,
        last_step -> Int8,
        confirmed_at -> Nullable<Timestamptz>,
        has_totp -> Bool,
    }
}

diesel::table! {
    servers (id) {
        id -> Int8,
        version -> Text,
        address -> Text,
        started_at -> Timestamptz,
        seen_at -> Timestamptz,
        lease_until -> Nullable<Timestamptz>,
        acknowledged -> Int8,
    }
}

diesel::table! {
    sessions (id) {
        id -> Uuid,
        user_id -> Int8,
        auth_epoch -> Int4,
        created_at -> Timestamptz,
        last_seen_at -> Timestamptz,
        expires_at -> Timestamptz,
        address -> Text,
        user_agent -> Text,
        identity_id -> Nullable<Int8>,
        sealed_hint -> Nullable<Bytea>,
        confirmed_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    settings (key) {
        key -> Text,
        value -> Jsonb,
    }
}

diesel::table! {
    team_members (team_id, user_id) {
        team_id -> Int8,
        user_id -> Int8,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    teams (id) {
        id -> Int8,
        org_id -> Int8,
        org_kind -> Int2,
        name -> Text,
        lower_name -> Text,
        description -> Text,
        permission -> Int2,
        created_at -> Timestamptz,
        package_patterns -> Nullable<Array<Text>>,
    }
}

diesel::table! {
    tokens (id) {
        id -> Int8,
        user_id -> Int8,
        name -> Text,
        lower_name -> Text,
        hash -> Bytea,
        last_eight -> Text,
        scopes -> Array<Text>,
        owner_ids -> Nullable<Array<Int8>>,
        package_patterns -> Nullable<Array<Text>>,
        created_at -> Timestamptz,
        expires_at -> Nullable<Timestamptz>,
        last_used_at -> Nullable<Timestamptz>,
        last_used_from -> Nullable<Text>,
        feeds_only -> Bool,
        creator_name -> Nullable<Text>,
        identity -> Nullable<Jsonb>,
        expiry_announced -> Bool,
        no_redirects -> Bool,
    }
}

diesel::table! {
    trash (id) {
        id -> Int8,
        owner_id -> Int8,
        kind -> Int2,
        package_name -> Text,
        version -> Nullable<Text>,
        file_name -> Nullable<Text>,
        reason -> Int2,
        rule -> Text,
        actor_id -> Nullable<Int8>,
        actor_name -> Text,
        deleted_at -> Timestamptz,
        keep_until -> Timestamptz,
        versions -> Int8,
        files -> Int8,
        bytes -> Int8,
        version_facts -> Nullable<Jsonb>,
    }
}

diesel::table! {
    trashed_files (id) {
        id -> Int8,
        trash_id -> Int8,
        version_id -> Int8,
        blob_id -> Int8,
        name -> Text,
        lower_name -> Text,
        creator_id -> Nullable<Int8>,
        created_at -> Timestamptz,
        download_count -> Int8,
        identity -> Nullable<Jsonb>,
    }
}

diesel::table! {
    trashed_packages (trash_id) {
        trash_id -> Int8,
        facts -> Jsonb,
    }
}

diesel::table! {
    trashed_versions (id) {
        id -> Int8,
        trash_id -> Int8,
        facts -> Jsonb,
    }
}

diesel::table! {
    upload_leases (storage_key) {
        storage_key -> Text,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    usage_changes (id) {
        id -> Int8,
        owner_id -> Int8,
        versions -> Int8,
        bytes -> Int8,
    }
}

diesel::table! {
    used_challenges (digest) {
        digest -> Bytea,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    used_identity_tokens (digest) {
        digest -> Bytea,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    users (id) {
        id -> Int8,
        kind -> Int2,
        email -> Text,
        lower_email -> Nullable<Text>,
        password_hash -> Nullable<Text>,
        is_admin -> Bool,
        is_active -> Bool,
        is_locked -> Bool,
        must_change_password -> Bool,
        auth_epoch -> Int4,
        last_login_at -> Nullable<Timestamptz>,
        robot_of -> Nullable<Int8>,
        rescued_until -> Nullable<Timestamptz>,
        confirmed_email -> Nullable<Text>,
        muted_mails -> Array<Int2>,
    }
}

diesel::table! {
    versions (id) {
        id -> Int8,
        package_id -> Int8,
        version -> Text,
        lower_version -> Text,
        creator_id -> Nullable<Int8>,
        created_at -> Timestamptz,
        owner_id -> Int8,
        state -> Int2,
        published_at -> Nullable<Timestamptz>,
        sealed_at -> Nullable<Timestamptz>,
        notes -> Text,
        labels -> Jsonb,
        is_prerelease -> Nullable<Bool>,
        yanked_at -> Nullable<Timestamptz>,
        yank_reason -> Text,
        deprecated_at -> Nullable<Timestamptz>,
        deprecation_message -> Text,
        successor -> Nullable<Text>,
        held_at -> Nullable<Timestamptz>,
        hold_reason -> Text,
        expires_at -> Nullable<Timestamptz>,
        last_downloaded_at -> Nullable<Timestamptz>,
    }
}

diesel::joinable!(owner_redirects -> owners (owner_id));
diesel::joinable!(users -> owners (id));
diesel::joinable!(teams -> owners (org_id));
diesel::joinable!(team_members -> teams (team_id));
diesel::joinable!(team_members -> users (user_id));
diesel::joinable!(tokens -> users (user_id));
diesel::joinable!(known_addresses -> users (user_id));
diesel::joinable!(identities -> users (user_id));
diesel::joinable!(sessions -> identities (identity_id));
diesel::joinable!(sessions -> users (user_id));
diesel::joinable!(mails -> users (user_id));
diesel::joinable!(email_links -> users (user_id));
diesel::joinable!(second_factors -> users (user_id));
diesel::joinable!(passkeys -> users (user_id));
diesel::joinable!(packages -> owners (owner_id));
diesel::joinable!(versions -> packages (package_id));
diesel::joinable!(files -> versions (version_id));
diesel::joinable!(files -> blobs (blob_id));
diesel::joinable!(damaged_blobs -> blobs (blob_id));
diesel::joinable!(channels -> packages (package_id));
diesel::joinable!(grants -> owners (owner_id));
diesel::joinable!(protections -> owners (owner_id));
diesel::joinable!(publishers -> users (id));
diesel::joinable!(retention_rules -> owners (owner_id));
diesel::joinable!(trash -> owners (owner_id));
diesel::joinable!(trashed_files -> trash (trash_id));
diesel::joinable!(trashed_files -> blobs (blob_id));
diesel::joinable!(trashed_packages -> trash (trash_id));
diesel::joinable!(trashed_versions -> trash (trash_id));
diesel::joinable!(owner_usage -> owners (owner_id));
diesel::joinable!(usage_changes -> owners (owner_id));
diesel::joinable!(hooks -> owners (owner_id));
diesel::joinable!(hook_deliveries -> hooks (hook_id));
diesel::joinable!(hook_attempts -> hook_deliveries (delivery_id));

diesel::allow_tables_to_appear_in_same_query!(
    attempts,
    audit,
    blobs,
    channels,
    daily_totals,
    damaged_blobs,
    database_runs,
    email_links,
    files,
    grants,
    hook_attempts,
    hook_deliveries,
    hooks,
    identities,
    known_addresses,
    mails,
    owner_redirects,
    owner_usage,
    owners,
    packages,
    passkeys,
    protections,
    publishers,
    recovery_codes,
    reset_requests,
    retention_rules,
    second_factors,
    servers,
    sessions,
    settings,
    team_members,
    teams,
    tokens,
    trash,
    trashed_files,
    trashed_packages,
    trashed_versions,
    upload_leases,
    usage_changes,
    used_challenges,
    used_identity_tokens,
    users,
    versions,
);
