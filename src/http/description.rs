//! A route's parameters and answers, collected from its handler's types for the OpenAPI document.

use super::problem::Problem;
use actix_web::http::StatusCode;
use utoipa::ToSchema;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::response::Response;
use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, ObjectBuilder, OneOfBuilder, SchemaFormat, Type};
use utoipa::openapi::{Content, Header, Ref, RefOr, Required, Schema};

/// One route's part of the document.
#[derive(Default)]
pub struct Description {
    /// Query and header parameters.
    pub parameters: Vec<Parameter>,
    /// The request body.
    pub body: Option<RequestBody>,
    /// The answers of a success, and errors that do not follow from the route's policy.
    pub answers: Vec<(StatusCode, Response)>,
    /// The named schemas that the answers refer to, possibly more than once.
    pub schemas: Vec<(String, RefOr<Schema>)>,
    /// The named schemas that the request body refers to.
    pub taken: Vec<(String, RefOr<Schema>)>,
}

impl Description {
    /// Adds the schema of an answer's type under its name and returns a reference to it.
    pub fn schema<T: ToSchema>(&mut self) -> Ref {
        let name = T::name().into_owned();
        self.schemas.push((name.clone(), T::schema()));
        T::schemas(&mut self.schemas);
        Ref::from_schema_name(name)
    }

    /// Adds an optional query parameter.
    pub fn query(&mut self, name: &str, about: &str, schema: impl Into<RefOr<Schema>>) {
        self.parameter(ParameterIn::Query, name, about, schema);
    }

    /// Adds an optional request header.
    pub fn head(&mut self, name: &str, about: &str, schema: impl Into<RefOr<Schema>>) {
        self.parameter(ParameterIn::Header, name, about, schema);
    }

    fn parameter(&mut self, place: ParameterIn, name: &str, about: &str, schema: impl Into<RefOr<Schema>>) {
        let parameter = ParameterBuilder::new().name(name).parameter_in(place);
        let parameter = parameter.required(Required::False).description(Some(about)).schema(Some(schema));
        self.parameters.push(parameter.build());
    }

    /// Adds a JSON request body.
    pub fn takes_json<T: ToSchema>(&mut self) {
        self.taken.push((T::name().into_owned(), T::schema()));
        T::schemas(&mut self.taken);
        self.takes("application/json", Ref::from_schema_name(T::name()));
    }

    /// Adds a form as the request body, or as another coding of it.
    pub fn takes_form<T: ToSchema>(&mut self) {
        self.taken.push((T::name().into_owned(), T::schema()));
        T::schemas(&mut self.taken);
        self.takes("application/x-www-form-urlencoded", Ref::from_schema_name(T::name()));
    }

    /// Adds a request body of some media type. Another call adds an alternative.
    pub fn takes(&mut self, media_type: &str, schema: impl Into<RefOr<Schema>>) {
        let body = self.body.get_or_insert_default();
        body.required = Some(Required::True);
        body.content.insert(media_type.to_owned(), Content::new(Some(schema)).into());
    }

    /// Adds an answer without a body.
    pub fn answers(&mut self, status: StatusCode, about: &str) {
        self.answers.push((status, Response::new(about)));
    }

    /// Adds an answer of some media type.
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

    /// Adds a JSON answer.
    pub fn answers_json<T: ToSchema>(&mut self, status: StatusCode, about: &str) {
        let schema = self.schema::<T>();
        self.answers_with(status, about, "application/json", schema);
    }

    /// Adds a JSON answer that has one of two types.
    pub fn answers_either<T: ToSchema, U: ToSchema>(&mut self, status: StatusCode, about: &str) {
        let either = OneOfBuilder::new().item(self.schema::<T>()).item(self.schema::<U>());
        self.answers_with(status, about, "application/json", either);
    }

    /// Adds an answer with a JSON array, one page of a list, and the headers that lead to the other pages.
    pub fn answers_page<T: ToSchema>(&mut self, about: &str) {
        let items = ArrayBuilder::new().items(self.schema::<T>());
        self.answers_with(StatusCode::OK, about, "application/json", items);
        self.with_pages();
    }

    /// Adds an answer with one page of a list in the envelope of Gitea's searches.
    pub fn answers_found<T: ToSchema>(&mut self, about: &str) {
        let items = ArrayBuilder::new().items(self.schema::<T>());
        let ok = ObjectBuilder::new().schema_type(Type::Boolean).description(Some("Always true.")).examples([true]);
        let found = ObjectBuilder::new().property("data", items).property("ok", ok).required("data").required("ok");
        self.answers_with(StatusCode::OK, about, "application/json", found);
        self.with_pages();
    }

    /// Adds the headers that lead to a list's other pages to the last answer.
    pub fn with_pages(&mut self) {
        self.with("X-Total-Count", "The length of the whole list.", integer(0));
        self.may_have("Link", "Links to the other pages, if there are any (RFC 8288).", text());
    }

    /// Adds an error.
    pub fn refuses(&mut self, status: StatusCode, about: &str) {
        self.answers_json::<Problem>(status, about);
    }

    /// Adds another media type to the last answer.
    pub fn or(&mut self, media_type: &str, schema: impl Into<RefOr<Schema>>) {
        if let Some((_, response)) = self.answers.last_mut() {
            response.content.insert(media_type.to_owned(), Content::new(Some(schema)).into());
        }
    }

    /// Adds a header that the last answer always has.
    pub fn with(&mut self, name: &str, about: &str, schema: impl Into<RefOr<Schema>>) {
        self.answer_field(name, always(about, schema));
    }

    /// Adds a header that the last answer may have.
    pub fn may_have(&mut self, name: &str, about: &str, schema: impl Into<RefOr<Schema>>) {
        self.answer_field(name, field(about, schema).build());
    }

    fn answer_field(&mut self, name: &str, field: Header) {
        if let Some((_, response)) = self.answers.last_mut() {
            response.headers.insert(name.to_owned(), field.into());
        }
    }
}

/// A response header that is always present.
pub fn always(about: &str, schema: impl Into<RefOr<Schema>>) -> Header {
    // The library does not support this attribute.
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

/// A text that matches a regular expression (ECMA-262).
pub fn text_like(pattern: &str) -> ObjectBuilder {
    text().pattern(Some(pattern))
}

/// A whole number of at least this value.
pub fn integer(least: i64) -> ObjectBuilder {
    let format = SchemaFormat::KnownFormat(KnownFormat::Int64);
    ObjectBuilder::new().schema_type(Type::Integer).format(Some(format)).minimum(Some(least))
}

/// Raw bytes.
pub fn bytes() -> ObjectBuilder {
    text().format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))
}
