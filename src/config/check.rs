//! Checks of values beyond their types. An error names its key and stops the start; a secret's value is never shown.

use super::keys::{Config, ConfigError, LimitsConfig, StoreConfig, StoreKind};
use super::oidc::MOST_TIMEOUT_SECONDS;
use crate::domain::mail::{Sender, SmtpServer};
use crate::domain::names::{Email, OwnerName};
use crate::domain::publisher::IssuerUrl;
use crate::domain::secret::Password;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

pub(super) fn bad(key: &str, problem: impl Into<String>) -> ConfigError {
    ConfigError::BadValue { origin: "configuration".to_owned(), key: key.to_owned(), problem: problem.into() }
}

pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    numbers(config)?;
    let domain = |domain: &String| domain.contains('@') || domain.trim() != domain || domain.is_empty();
    if config.registration.email_domains.iter().any(domain) {
        return Err(bad("registration.email_domains", "must list domains such as example.org"));
    }
    let contact = config.security_contact.as_str();
    let is_address = ["mailto:", "https://", "tel:"].iter().any(|scheme| contact.starts_with(scheme));
    let is_plain = contact.chars().all(|c| c.is_ascii_graphic());
    if !contact.is_empty() && (!is_address || !is_plain) {
        return Err(bad("security_contact", "must be an address such as mailto:security@example.org or https://…"));
    }
    let issuers = &config.trusted_publishing.allowed_issuers;
    if let Some(wrong) = issuers.iter().find(|issuer| issuer.parse::<IssuerUrl>().is_err()) {
        return Err(bad(
            "trusted_publishing.allowed_issuers",
            format!("must list addresses such as http://git.intranet:3000/api/actions, and {wrong:?} is none"),
        ));
    }
    if !is_filter(&config.log.level) {
        return Err(bad(
            "log.level",
            "must be a level such as info or debug, or a filter such as info,packhouse=debug",
        ));
    }
    let database = config.database.url.reveal();
    if !database.is_empty() {
        connection(database).map_err(|problem| bad("database.url", problem))?;
    }
    mail(config)?;
    store(&config.store)?;
    administrator(config)
}

fn store(store: &StoreConfig) -> Result<(), ConfigError> {
    let is_known = matches!(store.server_side_encryption.as_str(), "" | "AES256" | "aws:kms")
        || store.server_side_encryption.strip_prefix("aws:kms:").is_some_and(|key| !key.is_empty());
    if !is_known {
        return Err(bad("store.server_side_encryption", "must be \"AES256\", \"aws:kms\" or \"aws:kms:<key>\""));
    }
    let is_url = |text: &str| text.parse::<url::Url>().is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if !store.endpoint.is_empty() && !is_url(&store.endpoint) {
        return Err(bad("store.endpoint", "must be a URL such as https://s3.example.org"));
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if !store.prefix.chars().all(is_plain) || store.prefix.split('/').any(|part| part == "." || part == "..") {
        return Err(bad("store.prefix", "must be a path of letters, digits and - _ . such as packages/main"));
    }
    if store.kind == StoreKind::Local {
        return Ok(());
    }
    if store.bucket.is_empty() {
        return Err(bad("store.bucket", "must be set, because store.kind is \"s3\""));
    }
    if store.access_key_id.is_empty() != store.secret_access_key.is_empty() {
        return Err(bad("store.access_key_id and store.secret_access_key", "must both be set, or neither"));
    }
    Ok(())
}

fn mail(config: &Config) -> Result<(), ConfigError> {
    let (server, sender) = (config.mail.smtp_url.reveal(), &config.mail.from);
    if !sender.is_empty() {
        sender.parse::<Sender>().map_err(|problem| bad("mail.from", problem.to_string()))?;
    }
    if server.is_empty() {
        return Ok(());
    }
    server.parse::<SmtpServer>().map_err(|problem| bad("mail.smtp_url", problem.to_string()))?;
    if sender.is_empty() {
        return Err(bad("mail.from", "must be set, because mail.smtp_url is: the address that mail comes from"));
    }
    if config.public_url.is_none() {
        return Err(bad("public_url", "must be set, because mail.smtp_url is: mail contains links to this site"));
    }
    Ok(())
}

fn numbers(config: &Config) -> Result<(), ConfigError> {
    let limits @ LimitsConfig { connections, connections_per_address, .. } = &config.limits;
    for (key, value) in [
        ("jobs.flush_seconds", config.jobs.flush_seconds),
        ("webhooks.timeout_seconds", config.webhooks.timeout_seconds),
        ("webhooks.keep_days", config.webhooks.keep_days),
        ("trusted_publishing.timeout_seconds", config.trusted_publishing.timeout_seconds),
        ("jobs.scrub_bytes_per_second", config.jobs.scrub_bytes_per_second),
        ("limits.upload_stall_seconds", limits.upload_stall_seconds),
        ("store.timeout_seconds", config.store.timeout_seconds),
        ("limits.download_stall_seconds", limits.download_stall_seconds),
        ("limits.connections", (*connections).try_into().unwrap_or(u64::MAX)),
        ("limits.connections_per_address", (*connections_per_address).try_into().unwrap_or(u64::MAX)),
    ] {
        if value == 0 {
            return Err(bad(key, "must be at least 1"));
        }
    }
    if config.database.read_connections == 0 || config.database.write_connections == 0 {
        return Err(bad("database.read_connections and write_connections", "must be at least 1"));
    }
    for (key, value) in [
        ("limits.file_bytes", limits.file_bytes),
        ("quota.versions", config.quota.versions),
        ("quota.bytes", config.quota.bytes),
        ("quota.file_bytes", config.quota.file_bytes),
    ] {
        if value < -1 {
            return Err(bad(key, "must be -1 for no limit, or a number from 0"));
        }
    }
    if config.jobs.sweep_stop_percent > 100 {
        return Err(bad("jobs.sweep_stop_percent", "must be at most 100"));
    }
    if config.webhooks.timeout_seconds > MOST_TIMEOUT_SECONDS {
        return Err(bad("webhooks.timeout_seconds", "must be at most 60"));
    }
    if config.trusted_publishing.timeout_seconds > MOST_TIMEOUT_SECONDS {
        return Err(bad("trusted_publishing.timeout_seconds", "must be at most 60"));
    }
    Ok(())
}

/// Whether a log filter is valid. The library takes a single word for the name of a module, so a mistyped level would
/// silence everything.
fn is_filter(level: &str) -> bool {
    let is_named = |part: &str| part.contains(['=', '[', ']', '{', '}']);
    let mut parts = level.split(',').map(str::trim);
    parts.all(|part| is_named(part) || !part.is_empty() && part.parse::<LevelFilter>().is_ok())
        && EnvFilter::try_new(level).is_ok()
}

/// Whether a text can be a libpq connection string: a URL, or `key=value` words.
fn connection(text: &str) -> Result<(), &'static str> {
    let Some(rest) = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://")) else {
        let mut words = text.split_whitespace().filter_map(|word| word.split_once('='));
        return match words.find(|(key, _)| *key == "port") {
            Some((_, ports)) if !ports.trim_matches('\'').split(',').all(is_port) => Err(PORT),
            _ if text.contains("://") || !text.contains('=') => Err(SHAPE),
            _ => Ok(()),
        };
    };
    let mut escapes = rest.split('%').skip(1);
    let is_escape = |after: &str| after.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if !escapes.all(is_escape) {
        return Err("has an invalid escape: write %25 for a %");
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    for host in hosts.split(',') {
        // An IPv6 address has colons of its own.
        let after = host.rsplit_once(']').map_or(host, |(_, after)| after);
        if after.split_once(':').is_some_and(|(_, port)| !is_port(port)) {
            return Err(PORT);
        }
    }
    Ok(())
}

const SHAPE: &str = "must look like postgres://user:password@host:5432/database, or host=… dbname=… user=…";
const PORT: &str = "has a port that is not a number from 1 to 65535; in a password, write %2F for / and %40 for @";

fn is_port(text: &str) -> bool {
    text.is_empty() || text.parse::<u16>().is_ok_and(|port| port != 0)
}

/// Checks the first administrator, whether or not one exists already: settings that could never work are an error at
/// any time.
fn administrator(config: &Config) -> Result<(), ConfigError> {
    let user = &config.admin.user;
    let name: OwnerName = user.parse().map_err(|why| bad("admin.user", format!("is not a valid user name: {why}")))?;
    if name.is_reserved() && name.lower() != "admin" {
        return Err(bad("admin.user", "is a reserved name: choose another name"));
    }
    if config.base_path().as_owner().is_some_and(|owner| owner.lower() == name.lower()) {
        return Err(bad("admin.user", "is the path of public_url: choose another name"));
    }
    let email = format!("{user}@localhost.localdomain").parse::<Email>();
    email.map_err(|_| bad("admin.user", "is not a valid user name"))?;
    let password = config.admin.password.reveal();
    if !password.is_empty() {
        let good = Password::new(password).check_new(&[user]);
        good.map_err(|why| bad("admin.password", format!("is invalid: {why}")))?;
    }
    Ok(())
}
