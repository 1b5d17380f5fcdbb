//! The rules of who may name what, each with planted violations and with neighbors that break no rule.
//!
//! To add one, write a [`Rule`]. What a layer may use of the others is said in `docs/ARCHITECTURE.md` and not here.

use super::source::{Mention, Sources, module_of};
use super::table::{Table, is_under};
use std::collections::BTreeSet;

pub struct Rule {
    pub name: &'static str,
    pub is_broken: fn(&Seen) -> bool,
    /// Sources that break the rule, each one file or several: a line is `path: text`.
    pub planted: &'static [&'static str],
    /// Sources that look alike and break no rule.
    pub harmless: &'static [&'static str],
}

pub const RULES: &[Rule] = &[
    Rule {
        name: "a layer names only the layers that its row in docs/ARCHITECTURE.md allows",
        is_broken: |seen| seen.used_layers().any(|used| !seen.table.allows(seen.layer, used)),
        planted: &[
            "domain/names.rs: use crate::error::Error;",
            "error.rs: use crate::db::Db;",
            "storage/local.rs: use crate::registry::files;",
            "registry/files.rs: use crate::http::problem;",
            "registry/files.rs: use crate::db::Db;",
            "registry/files.rs: use crate::storage::BlobStore;",
            "http/blob.rs: use crate::state::App;",
            "jobs/sweep.rs: use crate::state::App;",
            "outbound.rs: use crate::registry::hooks;",
            "api/tokens.rs: use crate::web::page;",
            "ops.rs: use crate::generic;",
            "server.rs: use crate::cli::Cli;",
            "generic/files.rs: use crate::server::Server;",
            "generic/files.rs: use crate::db::schema::files;",
            // Groups, nested and renamed.
            "generic/files.rs: use crate::{domain, api::error};",
            "generic/files.rs: use crate::{domain::{names as n, clock}, db::{Db, schema::{self as tables}}};",
            // An alias.
            "web/page.rs: use crate::db as data; fn f() { data::schema::files::table; }",
            "web/page.rs: fn f() { use crate as all; all::api::tokens(); }",
            // Re-exports: of one name, of all names, and of a module.
            "registry/mod.rs: pub use crate::db::schema::files;\nweb/page.rs: use crate::registry::files;",
            "registry/mod.rs: pub(crate) use crate::db::schema::*;\n\
             db/schema.rs: pub struct Files;\n\
             web/page.rs: use crate::registry::Files;",
            "registry/mod.rs: pub mod all { pub use crate::db::schema as tables; }\n\
             web/page.rs: fn f() { crate::registry::all::tables::files::table; }",
            "registry/mod.rs: pub use crate::db::schema as tables;\n\
             web/page.rs: use crate::registry::*; use tables::files;",
            // A path in code, in a macro, in an attribute, and in quotes.
            "auth/mod.rs: fn f() { crate::generic::routes() }",
            "auth/mod.rs: fn f() { println!(\"{}\", [crate::generic::routes()]) }",
            "domain/role.rs: macro_rules! word { () => { $crate::error::Error } }",
            "web/page.rs: #[diesel(table_name = crate::db::schema::files)] struct File;",
            "domain/role.rs: #[serde(with = \"crate::http::role\")] struct Role;",
            // After the tests of a file.
            "http/range.rs: #[cfg(test)] mod tests { fn f() {} } fn g() { crate::generic::routes() }",
            "http/range.rs: #[cfg(test)] use std::fmt; use crate::generic;",
        ],
        harmless: &[
            "registry/files.rs: use crate::db::schema::{files, owners as o}; use super::access;",
            "generic/files.rs: use crate::db::Connection; /* use crate::server; */",
            "generic/files.rs: const A: &str = \"crate::server::A\";",
            "generic/files.rs: #[doc = \"As [`crate::server::Server`].\"] fn f() {}",
            "http/range.rs: fn f() {} #[cfg(test)] mod tests { use crate::generic; }",
            "http/params.rs: pub use crate::domain::path::escape;\nweb/page.rs: use crate::http::params::escape;",
            "domain/names.rs: fn f() { my_crate::error::Error; names.error::<Error>(); }",
            "domain/names.rs: pub(crate) fn f(crate_error: Name) {}",
            // An import that only its own module can name, beside a function of that name.
            "web/audit.rs: use crate::export; pub fn export() {}\nroutes.rs: fn f() { crate::web::audit::export() }",
        ],
    },
    Rule {
        name: "another layer is named from `crate`, not by way of `super`",
        is_broken: |seen| {
            let steps = seen.mention.path.iter().take_while(|name| *name == "super").count();
            steps > 0 && steps + 1 >= seen.mention.module.len()
        },
        planted: &[
            "api/tokens.rs: use super::super::domain::names;",
            "ops.rs: use super::domain;",
            "api/mod.rs: fn f() { super::domain::names() }",
        ],
        harmless: &["db/managed/cluster.rs: use super::super::pool; use super::error::ManagedError;"],
    },
    Rule {
        name: "diesel is named in db, registry, error and domain",
        is_broken: |seen| !seen.is_in(&["db", "registry", "error", "domain"]) && seen.names(&["diesel"]),
        planted: &[
            "generic/files.rs: use diesel::prelude::*;",
            "generic/files.rs: use diesel as d; fn f() { d::insert_into() }",
            "generic/files.rs: use {diesel::{pg as p}, std::fmt};",
            "generic/files.rs: extern crate diesel as d;",
            "generic/files.rs: fn f() { ::diesel::insert_into() }",
            "db/mod.rs: pub use diesel::PgConnection as Connection;\nweb/page.rs: use crate::db::Connection;",
            "db/mod.rs: pub use diesel::prelude::*;\nweb/page.rs: use crate::db::RunQueryDsl;",
        ],
        harmless: &[
            "db/mod.rs: pub type Connection = diesel::PgConnection;\nweb/page.rs: use crate::db::Connection;",
            "web/page.rs: fn f(diesel: Fuel) { my::diesel::burn(diesel) }",
        ],
    },
    Rule {
        name: "domain takes of diesel only what turns a value into a column and back",
        is_broken: |seen| {
            let mut targets = seen.targets.iter().filter(|target| is_under(target, "diesel"));
            seen.is_in(&["domain"]) && targets.any(|target| !COLUMNS.iter().any(|part| is_under(target, part)))
        },
        planted: &[
            "domain/names.rs: use diesel::prelude::*;",
            "domain/names.rs: use diesel as d; fn f() { d::sql_query() }",
            "domain/names.rs: use diesel::pg::{Pg, PgConnection};",
        ],
        harmless: &[
            "domain/names.rs: #[derive(diesel::expression::AsExpression)] struct Name;",
            "domain/names.rs: #[diesel(sql_type = diesel::sql_types::Text)] struct Name;",
            "domain/names.rs: use diesel::deserialize::{self, FromSql}; fn f() -> deserialize::Result<()> {}",
        ],
    },
    Rule {
        name: "actix_web is named where HTTP is spoken",
        is_broken: |seen| {
            let speaks_http = seen.is_in(&[
                "http", "auth", "publish", "archive", "serve", "export", "listing", "generic", "api", "web", "ops",
                "routes", "server", "cli",
            ]);
            !speaks_http && seen.names(&["actix_web"])
        },
        planted: &[
            "jobs/sweep.rs: fn f() -> actix_web::HttpResponse {}",
            "domain/names.rs: use actix_web::http::Uri;",
            "db/mod.rs: use actix_web as a;",
            "storage/mod.rs: use {actix_web::web};",
            "registry/users.rs: use actix_web::{web::{self as w, Data}};",
            "http/mod.rs: pub use actix_web::HttpResponse;\nstate.rs: use crate::http::HttpResponse;",
        ],
        harmless: &["web/page.rs: use actix_web as a;", "jobs/sweep.rs: fn f() { actix_web_metrics::count() }"],
    },
    Rule {
        name: "actix_http is named in http and server",
        is_broken: |seen| !seen.is_in(&["http", "server"]) && seen.names(&["actix_http"]),
        planted: &["web/page.rs: use actix_http::Request;"],
        harmless: &["http/connections.rs: use actix_http::Request;"],
    },
    Rule {
        name: "requests to other servers are made in outbound",
        is_broken: |seen| !seen.is_in(&["outbound"]) && seen.names(&["reqwest"]),
        planted: &[
            "jobs/webhooks.rs: fn f() { let client = reqwest::Client::new(); }",
            "outbound.rs: pub use reqwest::Client;\njobs/webhooks.rs: use crate::outbound::Client;",
        ],
        harmless: &["outbound.rs: pub struct Client(reqwest::Client);\njobs/webhooks.rs: use crate::outbound::Client;"],
    },
    Rule {
        name: "registry opens no file and no connection (an address alone is core::net::IpAddr)",
        is_broken: |seen| seen.is_in(&["registry"]) && seen.names(FILES_AND_CONNECTIONS),
        planted: &[
            "registry/files.rs: use std::fs;",
            "registry/files.rs: use std::{fmt, fs::File as F};",
            "registry/files.rs: use std as s; fn f() { s::fs::read(\"a\") }",
            "registry/files.rs: fn f() { std::net::TcpStream::connect(\"a:1\") }",
            "registry/files.rs: use std::os::unix::net::UnixStream;",
            "registry/files.rs: use tokio::{fs, sync::Mutex};",
            "registry/files.rs: use tokio::net::TcpStream;",
            "registry/files.rs: extern crate reqwest;",
            "registry/files.rs: use actix_web::web;",
            "registry/files.rs: use actix_http as h;",
            "registry/files.rs: fn f(status: http::StatusCode) {}",
            "registry/files.rs: use hyper;",
        ],
        harmless: &[
            "registry/files.rs: use core::net::IpAddr; use std::fmt;",
            "registry/files.rs: fn f(http: &str, fs: &str) { self.http; tokio::sync::Mutex::new() }",
            "storage/local.rs: use std::fs;",
        ],
    },
    Rule {
        name: "auth leaves the store of App alone",
        is_broken: |seen| seen.is_in(&["auth"]) && seen.mention.path == ["store"],
        planted: &[
            "auth/mod.rs: fn f(app: &App) { app.store.open() }",
            "auth/mod.rs: fn f(call: &Call) { drop(call.app().store) }",
            "auth/mod.rs: fn f(app: &App) { app.store().open() }",
            "auth/mod.rs: fn f(App { db, store, .. }: &App) {}",
            "auth/mod.rs: fn f() { debug!(\"{:?}\", app.store) }",
        ],
        harmless: &[
            "auth/mod.rs: fn f(app: &App) { app.seen.store(1, Ordering::Relaxed); app.store_id; store_of(app) }",
            "web/page.rs: fn f(app: &App) { app.store.open() }",
        ],
    },
    Rule {
        name: "the environment is read in config",
        is_broken: |seen| !seen.is_in(&["config"]) && seen.names(&["std::env"]),
        planted: &[
            "cli/serve.rs: fn f() { std::env::var(\"HOME\") }",
            "cli/serve.rs: use std::{env, fmt};",
            "cli/serve.rs: use std::env::{self as e};",
            "config.rs: pub use std::env;\ncli/serve.rs: fn f() { crate::config::env::vars() }",
        ],
        harmless: &[
            "config.rs: use std::env;",
            "cli/serve.rs: fn f(env: &[String]) { env!(\"CARGO_PKG_VERSION\"); env.first() }",
        ],
    },
    Rule {
        name: "the time comes from domain::clock",
        is_broken: |seen| {
            let asks = |target: &String| NOW.iter().any(|now| target == now || target.ends_with(&format!("::{now}")));
            !seen.is_in(&["domain/clock.rs"]) && seen.targets.iter().any(asks)
        },
        planted: &[
            "storage/sweep.rs: fn f() { std::time::SystemTime::now() }",
            "storage/sweep.rs: use std::time::{Duration, SystemTime as Wall}; fn f() { Wall::now() }",
            "domain/names.rs: fn f() { jiff::Timestamp::now() }",
            "domain/names.rs: use jiff as time; fn f() { spawn(time::Zoned::now) }",
            "domain/names.rs: use jiff::*; fn f() { Zoned::now() }",
        ],
        harmless: &[
            "domain/clock.rs: fn f() { jiff::Timestamp::now() }",
            "storage/sweep.rs: use std::time::Instant; fn f() { Instant::now(); clock.now() }",
            "storage/sweep.rs: use std::time::SystemTime; fn f() { SystemTime::UNIX_EPOCH }",
        ],
    },
    Rule {
        // The OpenAPI document says of every field of an answer that it is there.
        name: "no field of an answer is left out",
        is_broken: |seen| {
            let skips = seen.mention.path.iter().any(|name| name.starts_with("skip_serializing"));
            !seen.is_in(&["config", "domain", "jobs", "registry", "web"]) && skips
        },
        planted: &["api/tokens.rs: struct A { #[serde(skip_serializing_if = \"Option::is_none\")] a: Option<u8> }"],
        harmless: &["api/tokens.rs: struct A { #[serde(skip_deserializing)] a: Option<u8> }"],
    },
];

const COLUMNS: &[&str] = &[
    "diesel::backend",
    "diesel::deserialize",
    "diesel::expression::AsExpression",
    "diesel::pg::Pg",
    "diesel::pg::data_types",
    "diesel::serialize",
    "diesel::sql_types",
    "diesel::Queryable",
];

const FILES_AND_CONNECTIONS: &[&str] = &[
    "std::fs",
    "std::net",
    "std::os::unix::net",
    "tokio::fs",
    "tokio::net",
    "reqwest",
    "actix_web",
    "actix_http",
    "http",
    "hyper",
];

const NOW: &[&str] = &["SystemTime::now", "Timestamp::now", "Zoned::now"];

/// A path in a source file, seen by the rules.
pub struct Seen<'a> {
    pub table: &'a Table,
    pub mention: &'a Mention,
    /// The layer it stands in.
    pub layer: &'a str,
    /// Everything it names: what it means, and the aliases and re-exports on the way.
    pub targets: Vec<String>,
}

impl Seen<'_> {
    /// Whether it stands in one of these layers or files.
    fn is_in(&self, places: &[&str]) -> bool {
        for place in places {
            let is_known = place.ends_with(".rs") || self.table.layers().any(|layer| layer == *place);
            assert!(is_known, "a rule speaks of {place}, which is no layer");
        }
        places.iter().any(|place| is_under(self.layer, place) || self.mention.file == *place)
    }

    fn names(&self, roots: &[&str]) -> bool {
        self.targets.iter().any(|target| roots.iter().any(|root| is_under(target, root)))
    }

    fn used_layers(&self) -> impl Iterator<Item = &str> {
        self.targets.iter().filter_map(|target| self.table.layer_of(target))
    }
}

/// What breaks which rule, with its place.
pub fn violations(table: &Table, sources: &Sources) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let mut told = BTreeSet::new();
    for mention in &sources.mentions {
        let module = module_of(&mention.file).join("::");
        // The two roots declare modules and are no layer.
        let Some(layer) = table.layer_of(&module) else { continue };
        let route = sources.route(mention);
        let targets: Vec<String> = route.ends.union(&route.through).map(|target| target.join("::")).collect();
        let seen = Seen { table, mention, layer, targets };
        for rule in RULES.iter().filter(|rule| (rule.is_broken)(&seen)) {
            // Of a name that is used again and again, the first place.
            if !told.insert((&mention.file, rule.name, mention.path.last(), route.ends.clone())) {
                continue;
            }
            let (written, meant) = (mention.path.join("::"), seen.targets.join(", "));
            found.push((rule.name, format!("{}:{} `{written}` ({meant}): {}", mention.file, mention.line, rule.name)));
        }
    }
    found
}
