//! The tests that enter by the front door: one binary, because each costs a link.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test says by panicking what is wrong, and looks at the machine as it is"
)]

mod access;
mod api_accounts;
mod api_audit;
mod api_orgs;
mod api_packages;
mod api_teams;
mod api_users;
mod api_webhooks;
mod architecture;
mod attempts;
mod audit;
mod backup;
mod check;
mod cli;
mod config;
mod crashes;
mod credentials;
mod database;
mod delete;
mod download;
mod downloads;
mod examples;
mod faults;
mod health;
mod limits;
mod listings;
mod managed_postgres;
mod manual;
mod model;
mod names;
mod openapi;
mod outbound;
mod policy;
mod power_loss;
mod program;
mod publish;
mod quotas;
mod races;
mod request_id;
mod scrub;
mod search;
mod storage;
mod storage_faults;
mod store_safety;
mod support;
mod two_factor;
mod uploads;
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
mod web_security;
mod web_sessions;
mod web_teams;
mod web_tokens;
mod web_upload;
mod web_webhooks;
mod webhooks;
mod wording;
