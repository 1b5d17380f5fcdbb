//! Every address of the server, on one page: method, path, handler, and what it demands of its caller. The router is built
//! from this table, and so is the OpenAPI document; a handler that is not in it cannot be reached, and one that reads a
//! credential without it answers nothing.

use crate::api::endpoint::{Answer, Input};
use crate::api::error::answer as answer_error;
use crate::api::openapi::{self, Document, Entry};
use crate::api::{meta, orgs, packages, swagger, tokens, users};
use crate::auth::policy::Credentials::{Any, Ignored, Own, Password};
use crate::auth::policy::Right::{Everybody, Himself, OrgOwner, Reader, SignedIn, SiteAdmin, Writer};
use crate::auth::policy::{Credentials, Policy, Right};
use crate::domain::role::{Area, Level};
use crate::error::Result;
use crate::generic::{self, files, listings, upload, versions};
use crate::http::description::Description;
use crate::http::middleware::Guard;
use crate::http::problem::{self, Shape};
use crate::ops;
use crate::registry::audit::Event;
use crate::state::App;
use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{FromRequest, Handler, HttpMessage, HttpRequest, HttpResponse, Responder, Route, guard, web};
use std::future::ready;
use std::sync::Arc;

/// A row of the table.
pub struct Row {
    pub method: Method,
    /// As actix matches it; a `{name}` is one segment.
    pub path: &'static str,
    pub policy: Policy,
    /// In a few words, what it does.
    pub about: &'static str,
    /// The handler's own name, by which the document calls the operation.
    name: &'static str,
    describe: fn(&mut Description),
    also: Vec<(StatusCode, &'static str)>,
    route: Route,
}

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const DELETE: Method = Method::DELETE;

/// The scope that reads, and the one that writes.
const fn read(area: Area) -> Option<(Area, Level)> {
    Some((area, Level::Read))
}
const fn write(area: Area) -> Option<(Area, Level)> {
    Some((area, Level::Write))
}
const NO_SCOPE: Option<(Area, Level)> = None;

/// Which credentials, which scope a token needs, which right the user, and the record that a change leaves.
type Demands = (Credentials, Option<(Area, Level)>, Right, Option<Event>);

use Area::{Admin, Organization, Package, User};

/// The table. What is more special stands before what would match it too.
#[rustfmt::skip]
pub fn table() -> Vec<Row> {
    vec![
        // Is it up, is it ready, how is it doing.
        plain(GET, "/livez", ops::livez, (Ignored, NO_SCOPE, Everybody, None), "Whether the process is up", ops::describe_lines),
        plain(GET, "/readyz", ops::readyz, (Ignored, NO_SCOPE, Everybody, None), "Whether it can serve", ops::describe_ready),
        plain(GET, "/api/healthz", ops::healthz, (Ignored, NO_SCOPE, Everybody, None), "The same as JSON", ops::describe_health),
        plain(GET, "/metrics", ops::metrics, (Own, NO_SCOPE, Everybody, None), "Metrics for Prometheus", ops::describe_metrics),

        // The API's own description.
        plain(GET, "/api/openapi.json", openapi::document, (Ignored, NO_SCOPE, Everybody, None), "This document", openapi::describe_document),
        plain(GET, "/api/swagger", swagger::page, (Ignored, NO_SCOPE, Everybody, None), "This document as a page", swagger::describe_page),
        plain(GET, "/api/swagger/{asset}", swagger::asset, (Ignored, NO_SCOPE, Everybody, None), "What the page is made of", swagger::describe_asset),

        // The generic package protocol.
        plain(GET, "/api/packages/{owner}/generic/{name}/{version}/{file}", files::download, (Any, read(Package), Reader, None), "Download a file", generic::describe::download),
        plain(PUT, "/api/packages/{owner}/generic/{name}/{version}/{file}", upload::upload, (Any, write(Package), Writer, Some(Event::FilePublish)), "Publish a file", generic::describe::upload),
        plain(DELETE, "/api/packages/{owner}/generic/{name}/{version}/{file}", files::delete, (Any, write(Package), Writer, Some(Event::FileDelete)), "Delete a file", generic::describe::delete),
        plain(GET, "/api/packages/{owner}/generic/{name}/{version}", listings::files, (Any, read(Package), Reader, None), "List the files of a version", generic::describe::files),
        plain(DELETE, "/api/packages/{owner}/generic/{name}/{version}", versions::delete, (Any, write(Package), Writer, Some(Event::VersionDelete)), "Delete a version", generic::describe::delete),
        plain(GET, "/api/packages/{owner}/generic/{name}", listings::versions, (Any, read(Package), Reader, None), "List the versions of a package", generic::describe::versions),

        // The REST API v1: what clients ask first.
        api(GET, "/api/v1/version", meta::version, (Ignored, NO_SCOPE, Everybody, None), "The server's version"),

        // Users and their tokens.
        api(GET, "/api/v1/user", users::me, (Any, read(User), SignedIn, None), "The user who asks"),
        api(GET, "/api/v1/users/{user}/tokens", tokens::list, (Password, NO_SCOPE, Himself, None), "List a user's access tokens"),
        api(POST, "/api/v1/users/{user}/tokens", tokens::create, (Password, NO_SCOPE, Himself, Some(Event::TokenCreate)), "Make an access token").says(400, "The user has a token of this name"),
        api(DELETE, "/api/v1/users/{user}/tokens/{token}", tokens::revoke, (Password, NO_SCOPE, Himself, Some(Event::TokenRevoke)), "Revoke an access token, by its id or its name"),
        api(POST, "/api/v1/admin/users", users::create, (Any, write(Admin), SiteAdmin, Some(Event::UserCreate)), "Make a user"),

        // Organizations, teams, members.
        api(POST, "/api/v1/orgs", orgs::create, (Any, write(Organization), SignedIn, Some(Event::OrgCreate)), "Make an organization"),
        api(POST, "/api/v1/orgs/{org}/teams", orgs::create_team, (Any, write(Organization), OrgOwner, Some(Event::TeamCreate)), "Make a team"),
        api(PUT, "/api/v1/teams/{team}/members/{user}", orgs::add_member, (Any, write(Organization), OrgOwner, Some(Event::MemberAdd)), "Take a user into a team"),
        api(DELETE, "/api/v1/teams/{team}/members/{user}", orgs::remove_member, (Any, write(Organization), OrgOwner, Some(Event::MemberRemove)), "Take a user out of a team"),

        // Packages.
        api(GET, "/api/v1/packages/{owner}", packages::list, (Any, read(Package), Reader, None), "List an owner's packages, an entry a version, the newest first"),
        api(GET, "/api/v1/packages/{owner}/generic/{name}", packages::list_versions, (Any, read(Package), Reader, None), "List the versions of a package"),
        api(DELETE, "/api/v1/packages/{owner}/generic/{name}", packages::delete_package, (Any, write(Package), Writer, Some(Event::PackageDelete)), "Delete a package"),
        api(GET, "/api/v1/packages/{owner}/generic/{name}/-/latest", packages::latest, (Any, read(Package), Reader, None), "The version that was made last"),
        api(GET, "/api/v1/packages/{owner}/generic/{name}/{version}", packages::version, (Any, read(Package), Reader, None), "One version"),
        api(DELETE, "/api/v1/packages/{owner}/generic/{name}/{version}", packages::delete_version, (Any, write(Package), Writer, Some(Event::VersionDelete)), "Delete a version"),
        api(GET, "/api/v1/packages/{owner}/generic/{name}/{version}/files", packages::list_files, (Any, read(Package), Reader, None), "List the files of a version, by name"),
    ]
}

/// A route of the REST API. What it takes and answers is said by the handler's types.
fn api<F, I, A>(method: Method, path: &'static str, handler: F, demands: Demands, about: &'static str) -> Row
where
    F: Handler<I, Output = Result<A>>,
    I: FromRequest + Input + 'static,
    A: Answer + 'static,
{
    let answering = move |req: HttpRequest, app: web::Data<Arc<App>>, inputs: I| {
        let done = handler.call(inputs);
        async move {
            match done.await {
                Ok(answer) => answer.respond(),
                Err(error) => answer_error(&req, &app, &error),
            }
        }
    };
    let describe = |description: &mut Description| {
        I::describe(description);
        A::describe(description);
    };
    row::<F, _, _>(method, path, answering, demands, about, describe)
}

/// A route whose handler answers by itself, and says apart what it takes and answers.
fn plain<F, I>(
    method: Method,
    path: &'static str,
    handler: F,
    demands: Demands,
    about: &'static str,
    describe: fn(&mut Description),
) -> Row
where
    F: Handler<I, Output: Responder>,
    I: FromRequest + 'static,
{
    row::<F, _, _>(method, path, handler, demands, about, describe)
}

fn row<Named, F, I>(
    method: Method,
    path: &'static str,
    handler: F,
    (credentials, scope, right, event): Demands,
    about: &'static str,
    describe: fn(&mut Description),
) -> Row
where
    F: Handler<I, Output: Responder>,
    I: FromRequest + 'static,
{
    let policy = Policy { credentials, scope, right, event };
    let route = match method {
        Method::GET => web::route().guard(guard::Any(guard::Get()).or(guard::Head())),
        ref other => web::method(other.clone()),
    };
    let route = route.to(move |req: HttpRequest, inputs: I| {
        req.extensions_mut().insert(policy);
        handler.call(inputs)
    });
    let name = std::any::type_name::<Named>();
    Row { method, path, policy, about, name, describe, also: Vec::new(), route }
}

impl Row {
    /// Adds an answer that neither its policy nor its handler's types foresee.
    fn says(mut self, status: u16, about: &'static str) -> Self {
        self.also.extend(StatusCode::from_u16(status).ok().map(|status| (status, about)));
        self
    }

    /// What it takes and answers.
    fn description(&self) -> Description {
        let mut description = Description::default();
        (self.describe)(&mut description);
        for (status, about) in &self.also {
            description.refuses(*status, about);
        }
        description
    }
}

/// The document that describes the table; `root` is the site's own address, if it is known.
pub fn document(root: Option<&str>) -> Document {
    let rows = table();
    let entries = rows.iter().map(|row| Entry {
        method: &row.method,
        path: row.path,
        policy: row.policy,
        about: row.about,
        name: row.name,
        description: row.description(),
    });
    Document::new(entries, root)
}

/// Adds every route. An address that is there answers any other method with 405 and says which it has.
pub fn configure(config: &mut web::ServiceConfig) {
    let mut paths: Vec<(&'static str, Vec<Row>)> = Vec::new();
    for row in table() {
        match paths.iter_mut().find(|(path, _)| *path == row.path) {
            Some((_, rows)) => rows.push(row),
            None => paths.push((row.path, vec![row])),
        }
    }
    for (path, rows) in paths {
        let mut methods: Vec<&str> = rows.iter().map(|row| row.method.as_str()).collect();
        if let Some(at) = methods.iter().position(|method| *method == "GET") {
            methods.insert(at + 1, "HEAD");
        }
        let allowed = methods.join(", ");
        let resource = web::resource(path);
        let resource = rows.into_iter().fold(resource, |resource, row| resource.route(row.route));
        config.service(resource.default_service(web::to(move |req| ready(wrong_method(&req, &allowed)))));
    }
}

fn wrong_method(req: &HttpRequest, allowed: &str) -> HttpResponse {
    let message = format!("this address answers {allowed} alone");
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let guard = req.app_data::<web::Data<Guard>>();
    let root = guard.map_or("", |guard| &guard.root);
    let mut response = problem::line(status, "method_not_allowed", &message, Shape::of(req), root);
    if let Ok(allowed) = HeaderValue::from_str(allowed) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}
