//! The OpenAPI 3.1 document, generated from the route table: a route's handler types give its parameters and answers,
//! and its policy gives its errors.

mod entry;
mod examples;
mod refusals;
mod words;

pub use entry::Entry;

use super::error as api_error;
use super::swagger::not_modified;
use crate::auth::policy::{AcceptedCredentials, Policy};
use crate::domain::public_url::{PublicUrl, ROOT};
use crate::error::Error;
use crate::http::asset::Asset;
use crate::http::description::{Description, text};
use crate::http::problem::Problem;
use crate::state::App;
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, Paths};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    Components, ComponentsBuilder, Content, InfoBuilder, License, OpenApiBuilder, RefOr, Required, Response, Schema,
    Server,
};
use utoipa::{PartialSchema, ToSchema};

pub struct Document {
    file: Option<Asset>,
    clashes: Vec<String>,
}

impl Document {
    /// Describes these routes. `site` is the site's own address, if it is known.
    pub fn new<'a>(entries: impl Iterator<Item = Entry<'a>>, site: Option<&PublicUrl>) -> Self {
        let mut schemas = Schemas::default();
        schemas.answered.insert(Problem::name().into_owned(), Problem::schema());
        let mut paths = Paths::new();
        for mut entry in entries {
            let Some(method) = http_method(entry.method) else { continue };
            let description = &mut entry.description;
            schemas.add(std::mem::take(&mut description.schemas), true);
            schemas.add(std::mem::take(&mut description.taken), false);
            paths.add_path_operation(entry.path, vec![method], operation(entry));
        }
        let info = InfoBuilder::new()
            .title("Packhouse")
            .version(env!("CARGO_PKG_VERSION"))
            .description(Some(words::ABOUT))
            .license(Some(license()));
        // The first server works wherever the document was fetched from; the second is for readers who only have the
        // document.
        let base = site.map_or(ROOT, PublicUrl::base);
        let own = if base.is_root() { "/" } else { base.as_str() };
        let here = Server::builder().url(own).description(Some("The server of this document")).build();
        let about = "The public address of the server";
        let known = site.map(|site| Server::builder().url(site.root()).description(Some(about)).build());
        let clashes = std::mem::take(&mut schemas.clashes);
        let api = OpenApiBuilder::new()
            .info(info.build())
            .servers(Some(std::iter::once(here).chain(known)))
            .tags(Some(words::tags()))
            .components(Some(components(schemas)))
            .paths(paths);
        let file = api.build().to_json().ok().and_then(|json| Asset::new("application/json", json.as_bytes()).ok());
        Self { file, clashes }
    }

    /// Schema names that two different types share. There must be none.
    pub fn clashes(&self) -> &[String] {
        &self.clashes
    }
}

fn license() -> License {
    let mut license = License::new("MIT or Apache-2.0");
    license.identifier = Some(env!("CARGO_PKG_LICENSE").to_owned());
    license
}

/// The named schemas of all routes.
#[derive(Default)]
struct Schemas {
    answered: BTreeMap<String, RefOr<Schema>>,
    taken: BTreeMap<String, RefOr<Schema>>,
    clashes: Vec<String>,
}

impl Schemas {
    fn add(&mut self, found: Vec<(String, RefOr<Schema>)>, answered: bool) {
        for (name, schema) in found {
            let other = self.answered.get(&name).or_else(|| self.taken.get(&name));
            if other.is_some_and(|other| *other != schema) && !self.clashes.contains(&name) {
                self.clashes.push(name.clone());
            }
            let all = if answered { &mut self.answered } else { &mut self.taken };
            all.insert(name, schema);
        }
    }

    /// Returns all schemas. An answer always has every field, null or not, so all its fields are required; only request
    /// bodies may leave fields out.
    fn into_all(mut self) -> BTreeMap<String, RefOr<Schema>> {
        for (name, schema) in &mut self.answered {
            if let RefOr::T(Schema::Object(object)) = schema
                && !self.taken.contains_key(name)
            {
                object.required = object.properties.keys().cloned().collect();
            }
        }
        self.answered.extend(self.taken);
        self.answered
    }
}

fn components(schemas: Schemas) -> Components {
    let http =
        |scheme, about: &str| SecurityScheme::Http(HttpBuilder::new().scheme(scheme).description(Some(about)).build());
    let key = |name, about| SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(name, about)));
    ComponentsBuilder::new()
        .schemas_from_iter(schemas.into_all())
        .security_scheme("basic", http(HttpAuthScheme::Basic, words::BASIC))
        .security_scheme("otp", key("X-Gitea-OTP", words::OTP))
        .security_scheme("bearer", http(HttpAuthScheme::Bearer, words::BEARER))
        .security_scheme("token", key("Authorization", words::TOKEN))
        .build()
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

fn operation(mut entry: Entry<'_>) -> OperationBuilder {
    let mut operation = OperationBuilder::new()
        .tag(words::tag(entry.path))
        .summary(Some(entry.about))
        .description(Some(words::demands(entry.policy)))
        .operation_id(Some(entry.id));
    for name in names(entry.path) {
        operation = operation.parameter(path_parameter(name));
    }
    for parameter in std::mem::take(&mut entry.description.parameters) {
        operation = operation.parameter(parameter);
    }
    for (status, mut response) in answers(&mut entry) {
        exemplify(response.content.values_mut());
        operation = operation.response(status.as_str(), response);
    }
    for requirement in security(entry.policy) {
        operation = operation.security(requirement);
    }
    if let Some(body) = &mut entry.description.body {
        exemplify(body.content.values_mut());
    }
    operation.request_body(entry.description.body)
}

fn exemplify<'a>(contents: impl Iterator<Item = &'a mut RefOr<Content>>) {
    for content in contents {
        if let RefOr::T(content) = content {
            content.example = content.schema.as_ref().and_then(examples::of);
        }
    }
}

/// Every answer of a route: the errors from its policy and the answers of its handler. A status with two reasons gets
/// both descriptions.
fn answers(entry: &mut Entry<'_>) -> BTreeMap<StatusCode, Response> {
    let mut all: BTreeMap<StatusCode, Response> = BTreeMap::new();
    let said = std::mem::take(&mut entry.description.answers);
    for (status, mut response) in refusals::of(entry).into_iter().chain(said) {
        if entry.path.starts_with("/api/packages/") && status.as_u16() >= 400 {
            response.content.insert("text/plain".to_owned(), Content::new(Some(text())).into());
        }
        match all.entry(status) {
            std::collections::btree_map::Entry::Vacant(slot) => {
                slot.insert(response);
            }
            std::collections::btree_map::Entry::Occupied(mut slot) => {
                let known = slot.get_mut();
                known.description = format!("{}. Or: {}", known.description, response.description);
                known.content.extend(response.content);
                known.headers.extend(response.headers);
            }
        }
    }
    all
}

fn security(policy: Policy) -> Vec<SecurityRequirement> {
    let one = |name: &str| SecurityRequirement::new::<_, [&str; 0], &str>(name, []);
    let password = || [one("basic"), one("basic").add::<_, [&str; 0], &str>("otp", [])];
    let tokens = || [one("bearer"), one("token")];
    let mut schemes = match policy.credentials {
        AcceptedCredentials::Ignored | AcceptedCredentials::Session => return Vec::new(),
        AcceptedCredentials::Own => vec![one("bearer")],
        AcceptedCredentials::Password => password().to_vec(),
        AcceptedCredentials::Token => tokens().to_vec(),
        AcceptedCredentials::Any | AcceptedCredentials::SessionOrAny | AcceptedCredentials::Feed => {
            password().into_iter().chain(tokens()).collect()
        }
    };
    if !policy.needs_user() {
        schemes.push(SecurityRequirement::default());
    }
    schemes
}

/// The names in braces of a path.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

fn path_parameter(name: &str) -> Parameter {
    let (about, schema, example) = words::path_parameter(name);
    let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).example(Some(example));
    parameter.description(Some(about)).required(Required::True).schema(Some(schema)).build()
}

/// `GET /api/openapi.json`.
pub async fn document(req: HttpRequest, app: web::Data<Arc<App>>, document: web::Data<Document>) -> HttpResponse {
    let file = document.file.as_ref().ok_or_else(|| Error::internal(anyhow::anyhow!("the document has no JSON")));
    file.and_then(|file| file.answer(&req, &[])).unwrap_or_else(|error| api_error::render_error(&req, &app, &error))
}

/// Describes [`document`].
pub fn describe_document(description: &mut Description) {
    let schema = utoipa::openapi::ObjectBuilder::new();
    description.answers_with(StatusCode::OK, "The OpenAPI document", "application/json", schema);
    not_modified(description);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_schema_with_the_same_name_is_detected_anywhere() {
        #[derive(ToSchema)]
        #[expect(dead_code, reason = "its schema is what counts")]
        #[schema(as = Same)]
        struct One(String);
        #[derive(ToSchema)]
        #[expect(dead_code, reason = "its schema is what counts")]
        #[schema(as = Same)]
        struct Other(i64);
        let described = |describe: fn(&mut Description)| {
            let mut description = Description::default();
            describe(&mut description);
            let mut schemas = Schemas::default();
            schemas.add(description.schemas, true);
            schemas.add(description.taken, false);
            schemas.clashes
        };
        let answers: fn(&mut Description) = |description| {
            description.schema::<One>();
            description.schema::<Other>();
        };
        let takes: fn(&mut Description) = |description| {
            description.schema::<One>();
            description.takes_json::<Other>();
        };
        let agrees: fn(&mut Description) = |description| {
            description.schema::<One>();
            description.takes_json::<One>();
        };
        assert_eq!(described(answers), ["Same"]);
        assert_eq!(described(takes), ["Same"]);
        assert!(described(agrees).is_empty());
    }
}
