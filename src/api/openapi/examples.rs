//! An example of each body, by the name of its schema. Swagger UI fills it in, and the test of the server against this
//! document sends it first.

use serde_json::{Map, Value};
use std::sync::LazyLock;
use utoipa::openapi::schema::ArrayItems;
use utoipa::openapi::{RefOr, Schema};

static EXAMPLES: LazyLock<Map<String, Value>> =
    LazyLock::new(|| serde_json::from_str(include_str!("examples.json")).unwrap_or_default());

/// The example for a schema, if there is one: for a named schema, or for a list of one.
pub fn of(schema: &RefOr<Schema>) -> Option<Value> {
    match schema {
        RefOr::Ref(reference) => {
            let name = reference.ref_location.rsplit('/').next()?;
            EXAMPLES.get(name).cloned()
        }
        RefOr::T(Schema::Array(array)) => match &array.items {
            ArrayItems::RefOrSchema(item) => Some(Value::Array(vec![of(item)?])),
            ArrayItems::False => None,
        },
        RefOr::T(Schema::Object(object)) if !object.examples.is_empty() => object.examples.first().cloned(),
        RefOr::T(Schema::Object(object)) if !object.properties.is_empty() => {
            let fields = object.properties.iter().map(|(name, field)| Some((name.clone(), of(field)?)));
            Some(Value::Object(fields.collect::<Option<_>>()?))
        }
        RefOr::T(_) => None,
    }
}
