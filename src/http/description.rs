//! What a route takes and answers, gathered from the types of its handler for the OpenAPI document.

use actix_web::http::StatusCode;
use utoipa::ToSchema;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{Content, Header, Ref, RefOr, Required, Schema};

/// One route's part of the document.
#[derive(Default)]
pub struct Description {
    /// The parameters of its query and its header.
    pub parameters: Vec<Parameter>,
    /// The body it reads.
    pub body: Option<RequestBody>,
    /// What it answers when it does what it was asked, and what its policy cannot foresee.
    pub answers: Vec<(StatusCode, Response)>,
    /// The named schemas that these refer to.
    pub schemas: Vec<(String, RefOr<Schema>)>,
}

impl Description {
    /// A reference to a type's schema, which is taken in under its name.
    pub fn schema<T: ToSchema>(&mut self) -> Ref {
        let name = T::name().into_owned();
        if !self.schemas.iter().any(|(known, _)| *known == name) {
            self.schemas.push((name.clone(), T::schema()));
            T::schemas(&mut self.schemas);
        }
        Ref::from_schema_name(name)
    }

    /// A parameter of the query that may be left out.
    pub fn query(&mut self, name: &str, about: &str, schema: impl Into<RefOr<Schema>>) {
        let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query);
        let parameter = parameter.required(Required::False).description(Some(about)).schema(Some(schema));
        self.parameters.push(parameter.build());
    }

    /// A body of JSON.
    pub fn takes_json<T: ToSchema>(&mut self) {
        let schema = self.schema::<T>();
        self.takes("application/json", schema);
    }

    /// A body of some media type.
    pub fn takes(&mut self, media_type: &str, schema: impl Into<RefOr<Schema>>) {
        let content = Content::new(Some(schema));
        let body = RequestBodyBuilder::new().content(media_type, content).required(Some(Required::True));
        self.body = Some(body.build());
    }

    /// An answer without a body.
    pub fn answers(&mut self, status: StatusCode, about: &str) {
        self.answers.push((status, Response::new(about)));
    }

    /// An answer of some media type.
    pub fn answers_with(
        &mut self,
        status: StatusCode,
        about: &str,
        media_type: &str,
        schema: impl Into<RefOr<Schema>>,
    ) {
        let response = ResponseBuilder::new().description(about).content(media_type, Content::new(Some(schema)));
        self.answers.push((status, response.build()));
    }

    /// Another media type that the last answer may have.
    pub fn or_as(&mut self, media_type: &str, schema: impl Into<RefOr<Schema>>) {
        if let Some((_, response)) = self.answers.last_mut() {
            response.content.insert(media_type.to_owned(), Content::new(Some(schema)).into());
        }
    }

    /// An answer of JSON.
    pub fn answers_json<T: ToSchema>(&mut self, status: StatusCode, about: &str) {
        let schema = self.schema::<T>();
        self.answers_with(status, about, "application/json", schema);
    }

    /// An answer of a JSON array, one page of a list, with the fields that say where the others are.
    pub fn answers_page<T: ToSchema>(&mut self, about: &str) {
        let items = ArrayBuilder::new().items(self.schema::<T>());
        self.answers_paged(about, items);
    }

    /// The same, as Gitea's searches wrap it.
    pub fn answers_found<T: ToSchema>(&mut self, about: &str) {
        let items = ArrayBuilder::new().items(self.schema::<T>());
        let ok = ObjectBuilder::new().schema_type(Type::Boolean).description(Some("Always true."));
        let found = ObjectBuilder::new().property("data", items).property("ok", ok).required("data").required("ok");
        self.answers_paged(about, found);
    }

    fn answers_paged(&mut self, about: &str, schema: impl Into<RefOr<Schema>>) {
        let response = ResponseBuilder::new()
            .description(about)
            .content("application/json", Content::new(Some(schema)))
            .header("X-Total-Count", header(Type::Integer, "How many entries the whole list has."))
            .header("Link", header(Type::String, "The other pages, where there are any (RFC 8288)."));
        self.answers.push((StatusCode::OK, response.build()));
    }
}

fn header(kind: Type, about: &str) -> Header {
    HeaderBuilder::new().schema(Some(ObjectBuilder::new().schema_type(kind))).description(Some(about)).build()
}

/// Any text.
pub fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// A whole number of at least this much.
pub fn integer(least: i64) -> ObjectBuilder {
    let format = SchemaFormat::KnownFormat(KnownFormat::Int64);
    ObjectBuilder::new().schema_type(Type::Integer).format(Some(format)).minimum(Some(least))
}

/// Bytes as they are.
pub fn bytes() -> ObjectBuilder {
    text().format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))
}
