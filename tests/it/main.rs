//! Tests of the whole program. They are one binary, because every test binary is linked separately. `tests/README.md`
//! says how to write one.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and may use the machine's files and clock directly"
)]

mod access;
mod addresses;
mod api_accounts;
mod api_audit;
mod api_orgs;
mod api_packages;
mod api_retention;
mod api_teams;
mod api_users;
mod api_webhooks;
mod architecture;
mod archives;
mod audit;
mod backup;
mod backup_manual;
mod base_path;
mod blob_responses;
mod channels;
mod check_and_gc;
mod cli;
mod clients;
mod clock;
mod config;
mod connections;
mod copies;
mod crashes;
mod credentials;
mod cross_origin;
mod database;
mod delete;
mod directories;
mod downloads;
mod drafts;
mod examples;
mod faults;
mod feeds;
mod gitea_clients;
mod index_pages;
mod killed_changes;
mod listings;
mod lockouts;
mod managed_postgres;
mod manual;
mod names_and_paths;
mod openapi;
mod outbound;
mod package_grants;
mod package_settings;
mod package_visibility;
mod page_links;
mod password_attempts;
mod power_loss;
mod private_owners;
mod probes_and_shutdown;
mod program;
mod protections;
mod publish;
mod quotas;
mod races;
mod reference_model;
mod replacing;
mod request_id;
mod request_limits;
mod retention;
mod robots;
mod route_policy;
mod scripts;
mod scrub;
mod search;
mod selectors;
mod site_files;
mod storage;
mod storage_faults;
mod store_safety;
mod sudo;
mod support;
mod surroundings;
mod trash;
mod two_factor;
mod upload_limits;
mod version_order;
mod version_states;
mod web_account;
mod web_admin;
mod web_admin_system;
mod web_browse;
mod web_browse_lists;
mod web_browse_version;
mod web_delete;
mod web_look;
mod web_members;
mod web_orgs;
mod web_pages;
mod web_password;
mod web_register;
mod web_retention;
mod web_security;
mod web_sessions;
mod web_standing;
mod web_teams;
mod web_tokens;
mod web_trash;
mod web_upload;
mod web_webhooks;
mod webhooks;
mod whole_lists;
mod wording;
