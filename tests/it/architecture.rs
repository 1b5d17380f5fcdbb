//! Which module of `src` may use which: a scan of the source text, tested with a planted violation of each rule.

use std::fs;
use std::path::Path;

/// The modules of the crate that each top-level module may use. Nothing uses `cli`, and only `cli` uses `server`.
const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("error", &["domain"]),
    ("config", &["domain"]),
    ("lock", &[]),
    ("data_dir", &["domain", "lock"]),
    ("telemetry", &["config"]),
    ("password", &["domain", "error"]),
    ("counters", &["domain"]),
    ("outbound", &["domain"]),
    ("db", &["domain", "error", "config", "lock"]),
    ("storage", &["domain", "error", "config"]),
    ("registry", &["domain", "error", "db"]),
    ("http", &["domain", "error", "storage"]),
    ("jobs", &["domain", "error", "db", "storage", "registry", "counters", "outbound"]),
    ("state", &["domain", "error", "config", "db", "storage", "registry", "jobs", "outbound", "password", "counters"]),
    ("auth", &["domain", "error", "http", "db", "state", "registry"]),
    ("intake", &["domain", "error", "http", "db", "state", "registry", "storage", "auth"]),
    ("export", &["domain", "error", "auth", "registry"]),
    ("generic", FACE),
    ("api", FACE),
    ("web", FACE),
    ("ops", FACE),
    ("instance", &["domain", "error", "config", "data_dir", "db", "storage", "registry", "state"]),
    ("routes", &["domain", "error", "http", "auth", "registry", "state", "generic", "api", "web", "ops"]),
    ("server", &["domain", "error", "config", "http", "jobs", "state", "web", "routes"]),
    ("cli", EVERYTHING),
];
/// The faces never use each other.
const FACE: &[&str] = &[
    "domain", "error", "config", "db", "storage", "registry", "http", "auth", "state", "jobs", "outbound", "password",
    "counters", "intake", "export",
];
const EVERYTHING: &[&str] = &[
    "domain",
    "error",
    "config",
    "data_dir",
    "lock",
    "telemetry",
    "password",
    "counters",
    "outbound",
    "db",
    "storage",
    "registry",
    "http",
    "jobs",
    "state",
    "auth",
    "intake",
    "export",
    "instance",
    "routes",
    "server",
];

/// Words, and the only places where they may occur: top-level modules, or one file.
const WORDS: &[(&str, &[&str])] = &[
    ("diesel::", &["db", "registry", "error", "domain"]),
    ("actix_web::", &["http", "auth", "intake", "export", "generic", "api", "web", "ops", "routes", "server", "cli"]),
    ("actix_http::", &["http", "server"]),
    ("reqwest::", &["outbound"]),
    ("std::env", &["config"]),
    ("SystemTime::now", &["domain/clock.rs"]),
    ("Timestamp::now", &["domain/clock.rs"]),
    // The OpenAPI document says that every field of an answer is required.
    ("skip_serializing", &["config", "domain", "jobs", "registry", "web"]),
];

/// The code of a file, without comments and without its tests at the end.
fn code(text: &str) -> String {
    let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Every path that follows `root` in a text. For `crate::{a, b::{c, d}}` these are `a`, `b::c` and `b::d`.
fn named(text: &str, root: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for (at, _) in text.match_indices(root) {
        let before = text[..at].chars().next_back();
        if !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            expand(&text[at + root.len()..], String::new(), &mut paths);
        }
    }
    paths
}

/// Parses one tree of a path and returns the text after it.
fn expand<'a>(text: &'a str, prefix: String, paths: &mut Vec<String>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start_matches([' ', '\n', ',']);
            if let Some(after) = rest.strip_prefix('}') {
                return after;
            }
            if rest.is_empty() {
                return rest;
            }
            rest = expand(rest, prefix.clone(), paths);
            if let Some(renamed) = rest.trim_start().strip_prefix("as ") {
                rest = renamed.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
            }
        }
    }
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '*')).unwrap_or(text.len());
    let (word, rest) = text.split_at(end.max(1).min(text.len()));
    let path = if prefix.is_empty() { word.to_owned() } else { format!("{prefix}::{word}") };
    match rest.strip_prefix("::") {
        Some(rest) => expand(rest, path, paths),
        None => {
            paths.push(path);
            rest
        }
    }
}

/// The violations in one file, which is named by its path below `src`.
fn violations(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let top = path.split(['/', '.']).next().unwrap_or_default();
    let code = code(text);
    if !text.starts_with("//!") {
        found.push(format!("{path} does not begin by saying what it is"));
    }
    if ["lib", "main"].contains(&top) {
        return found;
    }
    let Some((_, allowed)) = MAY_USE.iter().find(|(module, _)| *module == top) else {
        found.push(format!("{path} is in the module {top}, of which no rule speaks"));
        return found;
    };
    for name in named(&code, "crate::") {
        let module = name.split("::").next().unwrap_or_default();
        if MAY_USE.iter().any(|(known, _)| *known == module) && module != top && !allowed.contains(&module) {
            found.push(format!("{path} names crate::{name}"));
        }
        let schema = name == "db::schema" || name.starts_with("db::schema::");
        if schema && !["db", "registry"].contains(&top) || top == "registry" && module == "db" && !schema {
            found.push(format!("{path} names crate::{name}"));
        }
    }
    // This many `super` leave the top-level module.
    let depth = path.trim_end_matches("/mod.rs").split('/').count();
    if code.contains(&"super::".repeat(depth)) {
        found.push(format!("{path} leaves its module by super::"));
    }
    for (word, places) in WORDS {
        if code.contains(word) && !places.iter().any(|place| *place == top || *place == path) {
            found.push(format!("{path} says {word}"));
        }
    }
    found
}

fn scan(dir: &Path, below: &str, found: &mut Vec<String>) -> usize {
    let mut count = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            count += scan(&entry.path(), &format!("{below}{name}/"), found);
        } else if name.ends_with(".rs") {
            found.extend(violations(&format!("{below}{name}"), &fs::read_to_string(entry.path()).unwrap()));
            count += 1;
        }
    }
    count
}

#[test]
fn every_module_uses_only_the_modules_it_may() {
    let mut found = Vec::new();
    let files = scan(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut found);
    assert!(files > 50, "too few source files were found");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_planted_violation_of_each_import_rule_is_found() {
    for (path, text, expected) in [
        ("domain/names.rs", "use crate::error::Error;", "names crate::error::Error"),
        ("error.rs", "use crate::db::Db;", "names crate::db::Db"),
        ("storage/local.rs", "use crate::registry::packages::files;", "names crate::registry::packages::files"),
        ("registry/packages/files.rs", "use crate::http::problem;", "names crate::http::problem"),
        ("registry/packages/files.rs", "use crate::db::Db;", "names crate::db::Db"),
        ("registry/packages/files.rs", "use crate::storage::BlobStore;", "names crate::storage::BlobStore"),
        ("http/blob.rs", "use crate::state::App;", "names crate::state::App"),
        ("auth/mod.rs", "fn f() { crate::generic::routes() }", "names crate::generic::routes"),
        ("intake.rs", "use crate::web::page;", "names crate::web::page"),
        ("generic/files.rs", "use crate::{domain, api::error};", "names crate::api::error"),
        ("api/tokens.rs", "use crate::web::page;", "names crate::web::page"),
        ("ops.rs", "use crate::generic;", "names crate::generic"),
        ("generic/files.rs", "use crate::db::schema::files;", "names crate::db::schema::files"),
        (
            "api/tokens.rs",
            "use crate::db::{\n    Connection,\n    schema::{files, tokens},\n};",
            "crate::db::schema::tokens",
        ),
        ("jobs/sweep.rs", "use crate::state::App;", "names crate::state::App"),
        ("server.rs", "use crate::cli::Cli;", "names crate::cli::Cli"),
        ("generic/files.rs", "use crate::server::Server;", "names crate::server::Server"),
        ("registry/accounts/users.rs", "use crate::domain::{names as n, clock}; use crate::auth;", "names crate::auth"),
        ("api/tokens.rs", "use super::super::generic::files;", "leaves its module"),
        ("ops.rs", "use super::generic;", "leaves its module"),
        ("api/mod.rs", "use super::generic;", "leaves its module"),
        ("generic/files.rs", "use diesel::prelude::*;", "says diesel::"),
        ("jobs/sweep.rs", "fn f() -> actix_web::HttpResponse {}", "says actix_web::"),
        ("registry/accounts/users.rs", "use actix_web::web;", "says actix_web::"),
        ("jobs/webhooks.rs", "let client = reqwest::Client::new();", "says reqwest::"),
        ("outbound.rs", "use crate::registry::webhooks;", "names crate::registry::webhooks"),
        ("cli/serve.rs", "let home = std::env::var(\"HOME\");", "says std::env"),
        ("storage/sweep.rs", "let now = SystemTime::now();", "says SystemTime::now"),
        ("domain/names.rs", "let now = jiff::Timestamp::now();", "says Timestamp::now"),
        ("api/tokens.rs", "#[serde(skip_serializing_if = \"Option::is_none\")]", "says skip_serializing"),
        ("novelty/mod.rs", "", "of which no rule speaks"),
    ] {
        let found = violations(path, &format!("//! It is planted.\n{text}\n"));
        assert!(found.len() == 1 || expected.ends_with("tokens"), "{path}: {text}: {found:?}");
        assert!(
            found.iter().any(|line| line.starts_with(path) && line.contains(expected)),
            "{path}: {text}: {found:?}"
        );
    }
    assert_eq!(violations("ops.rs", "use std::fmt;").len(), 1, "a file without a module comment");
}

#[test]
fn allowed_imports_are_not_reported() {
    for (path, text) in [
        ("registry/packages/files.rs", "use crate::db::schema::{files, owners as o};\nuse super::access;"),
        (
            "generic/files.rs",
            "/// As [`crate::server::Server`].\n// use diesel::prelude::*;\nuse crate::db::Connection;",
        ),
        ("db/managed/cluster.rs", "use super::super::pool;\nuse super::error::ManagedError;"),
        ("http/range.rs", "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    use crate::generic;\n}"),
        ("domain/clock.rs", "let now = jiff::Timestamp::now();"),
        ("domain/names.rs", "let name = $crate::error::Error;\nlet other = my_crate::error::Error;"),
    ] {
        assert_eq!(violations(path, &format!("//! It is fine.\n{text}\n")), Vec::<String>::new(), "{path}");
    }
}
