//! Resources of every face: an address that is there answers any other method with 405 and says which it has.

use super::middleware::Guard;
use super::problem::{self, Shape};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, Resource, web};
use std::future::ready;

/// An address and the methods it has, as `Allow` lists them. The caller adds a route for each.
pub fn resource(path: &'static str, allowed: &'static str) -> Resource {
    web::resource(path).default_service(web::to(move |req: HttpRequest| ready(wrong_method(&req, allowed))))
}

fn wrong_method(req: &HttpRequest, allowed: &'static str) -> HttpResponse {
    let message = format!("this address answers {allowed} alone");
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let guard = req.app_data::<web::Data<Guard>>();
    let root = guard.map_or("", |guard| &guard.root);
    let mut response = problem::line(status, "method_not_allowed", &message, Shape::of(req), root);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}
