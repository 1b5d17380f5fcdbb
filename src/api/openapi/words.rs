//! The texts of the OpenAPI document: about the API, its groups, its credentials, its rights and its path parameters.

use super::super::swagger;
use crate::auth::policy::{AcceptedCredentials, Policy, Right};
use crate::domain::channel::ChannelName;
use crate::domain::names::{FileName, OwnerName, PackageName, RobotName};
use crate::domain::role::Scope;
use crate::domain::version::Version;
use crate::http::description::{integer, text, text_like};
use serde_json::{Value, json};
use utoipa::PartialSchema;
use utoipa::openapi::tag::{Tag, TagBuilder};
use utoipa::openapi::{RefOr, Schema};

/// The description of the API.
pub const ABOUT: &str = "\
Packhouse is a registry for any file: publish it with one PUT and download it byte for byte.

The paths below `/api/packages` implement Gitea's generic package protocol, the paths below `/api/v1` its REST API. \
Every path that supports GET also supports HEAD. An unsupported method gets 405 with `Allow`, a request target longer \
than 8 KiB gets 414, headers longer than 16 KiB or more than 64 of them get 431, and a request with a body and an \
`Upgrade` header gets 400. Unknown fields of a JSON body are ignored, except in retention rules. As in Gitea, a body \
may also be a form with the fields of the JSON object (`application/x-www-form-urlencoded` or `multipart/form-data`); \
for a list, repeat the field.

A site administrator can act as another user with the header `Sudo: name` or the parameter `?sudo=name`, in every \
request that takes a credential. An access token needs the scope `write:admin` for this, or `read:admin` for requests \
that only read. Everyone else gets 403. If the user does not exist, the answer is 404.

An error below `/api/v1` is an object with a message for people and a code for programs. An error below \
`/api/packages` is one line of text, unless `Accept` prefers `application/json`.";

pub const BASIC: &str = "Username or email address, and password; or an access token in place of either";
pub const BEARER: &str = "An access token";
pub const TOKEN: &str = "`token X`, where X is an access token, as Gitea's clients send it";
pub const OTP: &str = "The two-factor code, in addition to the password; each code works once";

/// The groups of routes, in display order.
const TAGS: [(&str, &str); 11] = [
    ("generic", "The generic package protocol: publish, download, list and delete files"),
    ("packages", "Packages, their versions and files, as JSON"),
    ("retention", "Retention rules of owners, and what they delete"),
    ("users", "Users"),
    ("tokens", "Access tokens of users and robots"),
    ("organizations", "Organizations, their teams and members"),
    ("quotas", "Storage quotas and storage used"),
    ("webhooks", "Requests to other servers when packages change"),
    ("administration", "For site administrators"),
    ("settings", "The server's version and settings"),
    ("server", "Health, metrics and this document"),
];

pub fn tags() -> impl Iterator<Item = Tag> {
    TAGS.iter().map(|(name, about)| TagBuilder::new().name(*name).description(Some(*about)).build())
}

/// The group of a path.
pub fn tag(path: &str) -> &'static str {
    let mut segments = path.trim_start_matches('/').split('/');
    let (interface, rest): (Option<&str>, Vec<&str>) = (segments.nth(1), segments.collect());
    match rest.as_slice() {
        _ if interface == Some("packages") => "generic",
        _ if interface != Some("v1") => "server",
        ["packages", _, "-", "retention", ..] => "retention",
        ["packages", ..] => "packages",
        [.., "quota"] => "quotas",
        rest if rest.contains(&"hooks") => "webhooks",
        rest if rest.contains(&"tokens") => "tokens",
        ["token" | "oidc", ..] => "tokens",
        ["admin", ..] => "administration",
        ["orgs" | "teams", ..] | ["user" | "users", .., "orgs" | "teams"] => "organizations",
        ["user" | "users", ..] => "users",
        _ => "settings",
    }
}

/// The sentence that says who may call a route.
pub fn demands(policy: Policy) -> String {
    let who = match policy.right {
        Right::Public | Right::Everybody => "Everyone may call this.",
        Right::SignedIn | Right::AnyUser => "Signed-in users may call this.",
        Right::Reader => {
            "Everyone who can see the owner or the package may call this; what is public needs no credential."
        }
        Right::Writer => "Users who may publish to the owner, or to the package, may call this.",
        Right::SelfOrAdmin => "The user themselves and site administrators may call this.",
        Right::Member => "Members of the organization and site administrators may call this.",
        Right::OrgOwner => "Owners of the organization and site administrators may call this.",
        Right::PackageAdmin => "Users with the permission admin for the package may call this.",
        Right::Owner => "The user themselves, owners of the organization and site administrators may call this.",
        Right::SiteAdmin => "Site administrators may call this.",
    };
    let mut text = who.to_owned();
    if let Some((area, level)) = policy.scope {
        text.push_str(&format!(" A token needs the scope `{}`.", Scope::Of(area, level)));
    }
    match policy.credentials {
        AcceptedCredentials::Password => text.push_str(" It needs a password; access tokens are not accepted."),
        AcceptedCredentials::Token => text.push_str(" It needs an access token."),
        AcceptedCredentials::Ignored
        | AcceptedCredentials::Own
        | AcceptedCredentials::Any
        | AcceptedCredentials::Session
        | AcceptedCredentials::SessionOrAny
        | AcceptedCredentials::Feed => {}
    }
    if let Some(event) = policy.event {
        text.push_str(&format!(" It writes the audit event `{}`.", event.as_str()));
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
        "version" => ("A version of the package.", Version::schema(), json!("1.0.0")),
        "channel" => ("A channel of the package.", ChannelName::schema(), json!("beta")),
        "file" => (
            "A file of the version. It may be in directories, such as `linux/amd64/tool`: these slashes are not escaped.",
            FileName::parameter_schema(),
            json!("hello.txt"),
        ),
        "repo" => {
            let schema = text_like(r"^[-._0-9A-Za-z]+$").max_length(Some(100));
            ("A repository; there are none.", Schema::from(schema.build()).into(), json!("tool"))
        }
        "asset" => {
            let schema = text().enum_values(Some(swagger::names()));
            ("A file of the page.", Schema::from(schema.build()).into(), json!("start.js"))
        }
        "entry" => ("An entry of the trash, by its id.", id(), json!(4)),
        "team" => ("A team, by its id.", id(), json!(1)),
        "hook" => ("A webhook, by its id.", id(), json!(1)),
        "robot" => ("A robot of the organization, by its name.", RobotName::schema(), json!("deploy")),
        "grant" => ("A grant of the owner, by its id.", id(), json!(1)),
        "protection" => ("A protection rule of the owner, by its id.", id(), json!(1)),
        "publisher" => ("A trusted publisher of the owner, by its id.", id(), json!(7)),
        "rule" => ("A retention rule, by its id.", id(), json!(1)),
        "delivery" => ("A delivery of the webhook, by its id.", id(), json!(1)),
        "token" => {
            let schema = text_like(r"^[^\x00-\x1f\x7f-\x9f]+$").max_length(Some(255));
            ("A token, by its id or its name.", Schema::from(schema.build()).into(), json!("laptop"))
        }
        _ => ("An id.", id(), json!(1)),
    }
}
