//! A route as the OpenAPI document sees it.

use crate::auth::policy::Policy;
use crate::http::description::Description;
use actix_web::http::Method;

/// A route with everything the document says about it.
pub struct Entry<'a> {
    pub method: &'a Method,
    pub path: &'a str,
    pub policy: Policy,
    pub about: &'a str,
    /// The name of the operation.
    pub id: &'a str,
    pub description: Description,
}
