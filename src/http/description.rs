//! What a route takes and answers, gathered from the types of its handler for the OpenAPI document.

use super::problem::Problem;
use actix_web::http::StatusCode;
use utoipa::ToSchema;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::response::Response;
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
    /// The named schemas that the answers refer to; one that is referred to twice is there twice.
    pub schemas: Vec<(String, RefOr<Schema>)>,
    /// Those that the body refers to.
    pub taken: Vec<(String, RefOr<Schema>)>,
}

impl Description {
    /// A reference to the schema of a type that is answered; it is taken in under its name.
    pub fn schema<T: ToSchema>(&mut self) -> Ref {
        let name = T::name().into_owned();
        self.schemas.push((name.clone(), T::schema()));
        T::schemas(&mut self.schemas);
        Ref::from_schema_name(name)
    }

    /// A parameter of the query that may be left out.
    pub fn query(&mut self, name: &str, about: &str, schema: impl Into<RefOr<Schema>>) {
        self.parameter(ParameterIn::Query, name, about, schema);
    }

    /// A field of the request's head that may be left out.
    pub fn head(&mut self, name: &str, about: &str, schema: impl Into<RefOr<Schema>>) {
        self.parameter(ParameterIn::Header, name, about, schema);
    }

    fn parameter(&mut self, place: ParameterIn, name: &str, about: &str, schema: impl Into<RefOr<Schema>>) {
        let parameter = ParameterBuilder::new().name(name).parameter_in(place);
        let parameter = parameter.required(Required::False).description(Some(about)).schema(Some(schema));
        self.parameters.push(parameter.build());
    }

    /// A body of JSON.
    pub fn takes_json<T: ToSchema>(&mut self) {
        self.taken.push((T::name().into_owned(), T::schema()));
        T::schemas(&mut self.taken);
        self.takes("application/json", Ref::from_schema_name(T::name()));
    }

    /// A body of some media type; a second one is another that will do.
    pub fn takes(&mut self, media_type: &str, schema: impl Into<RefOr<Schema>>) {
        let body = self.body.get_or_insert_default();
        body.required = Some(Required::True);
        body.content.insert(media_type.to_owned(), Content::new(Some(schema)).into());
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
        self.answers(status, about);
        self.or(media_type, schema);
    }

    /// An answer of JSON.
    pub fn answers_json<T: ToSchema>(&mut self, status: StatusCode, about: &str) {
        let schema = self.schema::<T>();
        self.answers_with(status, about, "application/json", schema);
    }

    /// An answer of a JSON array, one page of a list, with the fields that say where the others are.
    pub fn answers_page<T: ToSchema>(&mut self, about: &str) {
        let items = ArrayBuilder::new().items(self.schema::<T>());
        self.answers_with(StatusCode::OK, about, "application/json", items);
        self.with_pages();
    }

    /// The same, as Gitea's searches wrap it.
    pub fn answers_found<T: ToSchema>(&mut self, about: &str) {
        let items = ArrayBuilder::new().items(self.schema::<T>());
        let ok = ObjectBuilder::new().schema_type(Type::Boolean).description(Some("Always true.")).examples([true]);
        let found = ObjectBuilder::new().property("data", items).property("ok", ok).required("data").required("ok");
        self.answers_with(StatusCode::OK, about, "application/json", found);
        self.with_pages();
    }

    /// The fields of the last answer that say where the other pages of its list are.
    pub fn with_pages(&mut self) {
        self.with("X-Total-Count", "How many entries the whole list has.", integer(0));
        self.may_have("Link", "The other pages, where there are any (RFC 8288).", text());
    }

    /// An error.
    pub fn refuses(&mut self, status: StatusCode, about: &str) {
        self.answers_json::<Problem>(status, about);
    }

    /// Another media type that the last answer may have.
    pub fn or(&mut self, media_type: &str, schema: impl Into<RefOr<Schema>>) {
        if let Some((_, response)) = self.answers.last_mut() {
            response.content.insert(media_type.to_owned(), Content::new(Some(schema)).into());
        }
    }

    /// A field that the head of the last answer always has.
    pub fn with(&mut self, name: &str, about: &str, schema: impl Into<RefOr<Schema>>) {
        self.answer_field(name, always(about, schema));
    }

    /// A field that the head of the last answer may have.
    pub fn may_have(&mut self, name: &str, about: &str, schema: impl Into<RefOr<Schema>>) {
        self.answer_field(name, field(about, schema).build());
    }

    fn answer_field(&mut self, name: &str, field: Header) {
        if let Some((_, response)) = self.answers.last_mut() {
            response.headers.insert(name.to_owned(), field.into());
        }
    }
}

/// A field of an answer's head that is always there.
pub fn always(about: &str, schema: impl Into<RefOr<Schema>>) -> Header {
    // The library has no word for it.
    let required = Extensions::from_iter([("required", true)]);
    field(about, schema).extensions(Some(required)).build()
}

fn field(about: &str, schema: impl Into<RefOr<Schema>>) -> HeaderBuilder {
    HeaderBuilder::new().schema(Some(schema)).description(Some(about))
}

/// Any text.
pub fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// A text that fits a regular expression (ECMA-262).
pub fn text_like(pattern: &str) -> ObjectBuilder {
    text().pattern(Some(pattern))
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
