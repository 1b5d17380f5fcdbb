//! The OpenAPI 3.1 document, made from the table of routes: what a route takes and gives is said by the types of its
//! handler, what it refuses by its policy.

use crate::auth::policy::{Credentials, Policy, Right};
use crate::domain::ids::{OwnerId, TeamId};
use crate::domain::names::{FileName, OwnerName, PackageName};
use crate::domain::role::Scope;
use crate::domain::version::Version;
use crate::http::description::{Description, text};
use crate::http::problem::{self, Problem, Shape};
use actix_web::http::header;
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, Paths};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    ComponentsBuilder, Content, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required, Response, ResponseBuilder,
    Schema,
};
use utoipa::{PartialSchema, ToSchema};

/// A route, as the document speaks of it.
pub struct Entry<'a> {
    pub method: &'a Method,
    pub path: &'a str,
    pub policy: Policy,
    pub about: &'a str,
    /// The path of its handler in the source.
    pub name: &'a str,
    pub description: Description,
}

/// The document, ready to be sent.
pub struct Document(Bytes);

impl Document {
    /// Describes these routes.
    pub fn new<'a>(entries: impl Iterator<Item = Entry<'a>>) -> Self {
        let mut schemas: BTreeMap<String, RefOr<Schema>> = BTreeMap::new();
        schemas.insert(Problem::name().into_owned(), Problem::schema());
        let mut paths = Paths::new();
        for entry in entries {
            let Some(method) = http_method(entry.method) else { continue };
            paths.add_path_operation(entry.path, vec![method], operation(&entry));
            schemas.extend(entry.description.schemas);
        }
        let api = assemble(paths, schemas);
        Self(api.to_json().unwrap_or_default().into())
    }

    /// As JSON.
    pub fn json(&self) -> &Bytes {
        &self.0
    }
}

const ABOUT: &str = "Packhouse keeps any file: publish with one PUT, fetch it back byte for byte. The paths below \
                     /api/packages are Gitea's generic package protocol, those below /api/v1 its REST API. HEAD is \
                     answered wherever GET is, and 405 with Allow where a method is missing.";

fn assemble(paths: Paths, schemas: BTreeMap<String, RefOr<Schema>>) -> OpenApi {
    let http =
        |scheme, about: &str| SecurityScheme::Http(HttpBuilder::new().scheme(scheme).description(Some(about)).build());
    let field = ApiKeyValue::with_description("Authorization", "`token X`, X an access token, as Gitea's clients send");
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .security_scheme("basic", http(HttpAuthScheme::Basic, "User name or e-mail address, and password or token"))
        .security_scheme("bearer", http(HttpAuthScheme::Bearer, "An access token"))
        .security_scheme("token", SecurityScheme::ApiKey(ApiKey::Header(field)));
    let info = InfoBuilder::new().title("Packhouse").version(env!("CARGO_PKG_VERSION")).description(Some(ABOUT));
    OpenApiBuilder::new().info(info.build()).paths(paths).components(Some(components.build())).build()
}

fn http_method(method: &Method) -> Option<HttpMethod> {
    Some(match *method {
        Method::GET => HttpMethod::Get,
        Method::PUT => HttpMethod::Put,
        Method::POST => HttpMethod::Post,
        Method::PATCH => HttpMethod::Patch,
        Method::DELETE => HttpMethod::Delete,
        _ => return None,
    })
}

fn operation(entry: &Entry<'_>) -> OperationBuilder {
    let description = &entry.description;
    let mut operation = OperationBuilder::new()
        .tag(tag(entry.path))
        .summary(Some(entry.about))
        .description(Some(demands(entry.policy)))
        .operation_id(Some(operation_id(entry.name)))
        .request_body(description.body.clone());
    for name in names(entry.path) {
        operation = operation.parameter(path_parameter(name));
    }
    for parameter in &description.parameters {
        operation = operation.parameter(parameter.clone());
    }
    for (status, response) in refusals(entry) {
        operation = operation.response(status.as_str(), response);
    }
    for (status, response) in &description.answers {
        operation = operation.response(status.as_str(), response.clone());
    }
    for requirement in security(entry.policy) {
        operation = operation.security(requirement);
    }
    operation
}

/// `files.download` for `packhouse::generic::files::download`.
fn operation_id(name: &str) -> String {
    let last: Vec<&str> = name.rsplit("::").take(2).collect();
    let face = if name.contains("::generic::") { "generic." } else { "" };
    format!("{face}{}", last.into_iter().rev().collect::<Vec<_>>().join("."))
}

fn tag(path: &str) -> &'static str {
    match path.split('/').nth(3) {
        _ if path.starts_with("/api/packages/") => "generic protocol",
        Some("packages") => "packages",
        Some("user" | "users" | "token") => "users",
        Some("orgs" | "teams") => "organizations",
        Some("admin") => "administration",
        _ => "server",
    }
}

/// What a route demands, in words.
fn demands(policy: Policy) -> String {
    let who = match policy.right {
        Right::Everybody => "Everybody may.",
        Right::SignedIn => "Whoever is signed in may.",
        Right::Reader => "Whoever may see the owner may: no credential is needed for public ones.",
        Right::Writer => "Who may write to the owner may.",
        Right::Himself => "The user himself and site administrators may.",
        Right::Member => "Members of the organization and site administrators may.",
        Right::OrgOwner => "Owners of the organization and site administrators may.",
        Right::SiteAdmin => "Site administrators may.",
    };
    let mut text = who.to_owned();
    if let Some((area, level)) = policy.scope {
        text.push_str(&format!(" A token needs the scope `{}`.", Scope::Of(area, level)));
    }
    match policy.credentials {
        Credentials::Password => text.push_str(" It wants the password: no token will do."),
        Credentials::Token => text.push_str(" It wants an access token."),
        Credentials::Ignored | Credentials::Own | Credentials::Any | Credentials::Session => {}
    }
    if let Some(event) = policy.event {
        text.push_str(&format!(" It leaves the record `{}`.", event.as_str()));
    }
    text
}

fn security(policy: Policy) -> Vec<SecurityRequirement> {
    let one = |name: &str| SecurityRequirement::new::<_, [&str; 0], &str>(name, []);
    let mut schemes = match policy.credentials {
        Credentials::Ignored | Credentials::Session => return Vec::new(),
        Credentials::Own => vec![one("bearer")],
        Credentials::Password => vec![one("basic")],
        Credentials::Token => vec![one("bearer"), one("token")],
        Credentials::Any => vec![one("basic"), one("bearer"), one("token")],
    };
    if !policy.needs_user() {
        schemes.push(SecurityRequirement::default());
    }
    schemes
}

/// What any route of this policy and shape may refuse.
fn refusals(entry: &Entry<'_>) -> Vec<(StatusCode, Response)> {
    let mut statuses = Vec::new();
    let asks = !matches!(entry.policy.credentials, Credentials::Ignored | Credentials::Own);
    if asks {
        statuses.push((StatusCode::UNAUTHORIZED, "No credential where one is needed, or one that is not valid"));
        statuses.push((StatusCode::FORBIDDEN, "A known caller without the right or the scope; the message names it"));
        statuses.push((StatusCode::TOO_MANY_REQUESTS, "Too many attempts at passwords; Retry-After says when"));
        statuses.push((StatusCode::SERVICE_UNAVAILABLE, "The database is away or overloaded; nothing was changed"));
    }
    if asks && entry.path.contains('{') {
        statuses.push((StatusCode::NOT_FOUND, "Nothing of this name, or nothing the caller may see"));
    }
    let json = entry.description.body.as_ref().is_some_and(|body| body.content.contains_key("application/json"));
    if json {
        statuses.push((StatusCode::UNPROCESSABLE_ENTITY, "A field is missing, wrong or taken; the message names it"));
    }
    let problem = |about: &str| {
        let schema = Ref::from_schema_name(Problem::name());
        ResponseBuilder::new().description(about).content("application/json", Content::new(Some(schema))).build()
    };
    let text = |response: Response| {
        let content = Content::new(Some(text()));
        let mut response = response;
        if entry.path.starts_with("/api/packages/") {
            response.content.insert("text/plain; charset=utf-8".to_owned(), content.into());
        }
        response
    };
    statuses.into_iter().map(|(status, about)| (status, text(problem(about)))).collect()
}

/// The names in braces of a path.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

fn path_parameter(name: &str) -> Parameter {
    let schema: RefOr<Schema> = match name {
        "owner" | "user" | "org" => OwnerName::schema(),
        "name" => PackageName::schema(),
        "version" => Version::schema(),
        "file" => FileName::schema(),
        "team" => TeamId::schema(),
        "id" | "hook" => OwnerId::schema(),
        _ => text().build().into(),
    };
    let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path);
    parameter.required(Required::True).schema(Some(schema)).build()
}

/// `GET /api/openapi.json`.
pub async fn document(document: web::Data<Document>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .body(document.json().clone())
}

/// Describes [`document`].
pub fn describe_document(description: &mut Description) {
    let schema = utoipa::openapi::ObjectBuilder::new();
    description.answers_with(StatusCode::OK, "The OpenAPI document", "application/json", schema);
}

/// `GET /api/swagger`: Swagger UI, from the server's own files.
pub async fn page(req: HttpRequest) -> HttpResponse {
    swagger(&req, "index.html")
}

/// Describes [`page`].
pub fn describe_page(description: &mut Description) {
    description.answers_with(StatusCode::OK, "A page", "text/html", text());
}

/// `GET /api/swagger/{file}`.
pub async fn asset(req: HttpRequest, file: web::Path<String>) -> HttpResponse {
    swagger(&req, &file)
}

/// Describes [`asset`].
pub fn describe_asset(description: &mut Description) {
    description.answers_with(StatusCode::OK, "A file of the page", "*/*", text());
    description.answers(StatusCode::NOT_FOUND, "The page has no such file");
}

/// What the page may load: its own files, and the images that its style sheet carries.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                           connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn swagger(req: &HttpRequest, file: &str) -> HttpResponse {
    let config = utoipa_swagger_ui::Config::from("/api/openapi.json").use_base_layout().validator_url("none");
    match utoipa_swagger_ui::serve(file, Arc::new(config)) {
        Ok(Some(found)) => {
            let mut bytes = found.bytes.into_owned();
            if file == "index.html" {
                // The page is at an address without a slash at its end: its files are one level down.
                bytes = String::from_utf8_lossy(&bytes).replace("=\"./", "=\"/api/swagger/").into_bytes();
            }
            HttpResponse::Ok()
                .content_type(found.content_type)
                .insert_header((header::CONTENT_SECURITY_POLICY, PAGE_POLICY))
                .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
                .insert_header((header::REFERRER_POLICY, "no-referrer"))
                .insert_header((header::CACHE_CONTROL, "no-cache"))
                .body(bytes)
        }
        Ok(None) => {
            problem::line(StatusCode::NOT_FOUND, "not_found", "there is nothing at this address", Shape::of(req), "")
        }
        Err(error) => {
            tracing::error!(%error, "the page of the API could not be made");
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            problem::line(status, "internal", "internal error", Shape::of(req), "")
        }
    }
}
