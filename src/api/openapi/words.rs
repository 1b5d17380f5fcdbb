//! The texts of the OpenAPI document: about the API, its groups, its credentials, its rights and its path parameters.

use super::super::swagger;
use crate::auth::policy::{AcceptedCredentials, Policy, Right};
use crate::domain::names::{FileName, OwnerName, PackageName};
use crate::domain::role::Scope;
use crate::domain::version::Version;
use crate::http::description::{integer, text, text_like};
use serde_json::{Value, json};
use utoipa::PartialSchema;
use utoipa::openapi::tag::{Tag, TagBuilder};
use utoipa::openapi::{RefOr, Schema};

/// The description of the API.
pub const ABOUT: &str = "\
Packhouse keeps any file: publish with one PUT, fetch it back byte for byte.

The addresses below `/api/packages` are those of Gitea's generic package protocol, the ones below `/api/v1` those of its \
REST API. HEAD is answered wherever GET is. Where a method is missing the answer is 405, with `Allow`; a target longer \
than 8 KiB is 414, header fields longer than 16 KiB or more than 64 of them are 431, and a request with a body and an \
`Upgrade` is 400. Unknown fields of a JSON body are passed over.

Errors below `/api/v1` are objects with a sentence for a person and a word for a program. Those below `/api/packages` are \
one line of text, unless `Accept` names `application/json`.";

pub const BASIC: &str = "User name or e-mail address and password; or a token in the place of either";
pub const BEARER: &str = "An access token";
pub const TOKEN: &str = "`token X`, X an access token, as Gitea's clients send it";
pub const OTP: &str = "The code of a second factor, beside a password; each code works once";

/// The groups of routes, in display order.
const TAGS: [(&str, &str); 10] = [
    ("generic", "The generic package protocol: publish, fetch, list and delete files"),
    ("packages", "Packages, their versions and files, as JSON"),
    ("users", "Users"),
    ("tokens", "Access tokens of users"),
    ("organizations", "Organizations, their teams and members"),
    ("quotas", "How much an owner has, and may have"),
    ("webhooks", "What is told to other servers when something changes"),
    ("administration", "For site administrators"),
    ("settings", "What the server is, and what it allows"),
    ("server", "Whether it is up, how it is doing, and this document"),
];

pub fn tags() -> impl Iterator<Item = Tag> {
    TAGS.iter().map(|(name, about)| TagBuilder::new().name(*name).description(Some(*about)).build())
}

/// The group of a path.
pub fn tag(path: &str) -> &'static str {
    let mut segments = path.trim_start_matches('/').split('/');
    let (face, rest): (Option<&str>, Vec<&str>) = (segments.nth(1), segments.collect());
    match rest.as_slice() {
        _ if face == Some("packages") => "generic",
        _ if face != Some("v1") => "server",
        ["packages", ..] => "packages",
        [.., "quota"] => "quotas",
        rest if rest.contains(&"hooks") => "webhooks",
        rest if rest.contains(&"tokens") => "tokens",
        ["token", ..] => "tokens",
        ["admin", ..] => "administration",
        ["orgs" | "teams", ..] | ["user" | "users", .., "orgs" | "teams"] => "organizations",
        ["user" | "users", ..] => "users",
        _ => "settings",
    }
}

/// The sentence that says who may call a route.
pub fn demands(policy: Policy) -> String {
    let who = match policy.right {
        Right::Public | Right::Everybody => "Everybody may.",
        Right::SignedIn | Right::AnyUser => "Whoever is signed in may.",
        Right::Reader => "Whoever may see the owner may: no credential is needed for public ones.",
        Right::Writer => "Who may write to the owner may.",
        Right::SelfOrAdmin => "The user himself and site administrators may.",
        Right::Member => "Members of the organization and site administrators may.",
        Right::OrgOwner => "Owners of the organization and site administrators may.",
        Right::SiteAdmin => "Site administrators may.",
    };
    let mut text = who.to_owned();
    if let Some((area, level)) = policy.scope {
        text.push_str(&format!(" A token needs the scope `{}`.", Scope::Of(area, level)));
    }
    match policy.credentials {
        AcceptedCredentials::Password => text.push_str(" It wants the password: no token will do."),
        AcceptedCredentials::Token => text.push_str(" It wants an access token."),
        AcceptedCredentials::Ignored
        | AcceptedCredentials::Own
        | AcceptedCredentials::Any
        | AcceptedCredentials::Session => {}
    }
    if let Some(event) = policy.event {
        text.push_str(&format!(" It leaves the record `{}`.", event.as_str()));
    }
    text
}

/// A path parameter: its description, schema and example.
pub fn path_parameter(name: &str) -> (&'static str, RefOr<Schema>, Value) {
    let id = || RefOr::from(Schema::from(integer(1).build()));
    match name {
        "owner" => ("A user or an organization.", OwnerName::schema(), json!("ada")),
        "user" => ("A user.", OwnerName::schema(), json!("ada")),
        "org" => ("An organization.", OwnerName::schema(), json!("acme")),
        "name" => ("A package.", PackageName::schema(), json!("hello")),
        "version" => ("A version of it.", Version::schema(), json!("1.0.0")),
        "file" => ("A file.", FileName::schema(), json!("hello.txt")),
        "asset" => {
            let schema = text().enum_values(Some(swagger::names()));
            ("A file of the page.", Schema::from(schema.build()).into(), json!("start.js"))
        }
        "team" => ("A team, by its id.", id(), json!(1)),
        "hook" => ("A webhook, by its id.", id(), json!(1)),
        "delivery" => ("Something that it told, by its id.", id(), json!(1)),
        "token" => {
            let schema = text_like(r"^[^\x00-\x1f\x7f-\x9f]+$").max_length(Some(255));
            ("A token, by its id or its name.", Schema::from(schema.build()).into(), json!("laptop"))
        }
        _ => ("By its id.", id(), json!(1)),
    }
}
