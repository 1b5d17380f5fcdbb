//! Redirects: from a selector, and to the address of an index page.

use crate::auth::call::Call;
use crate::http::request_log::path_as_sent;
use crate::http::segment::with_query;
use crate::http::selected::redirect;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};

/// Whether the path of a request was sent with a slash at its end. Routing ignores it.
pub(super) fn has_slash(req: &HttpRequest) -> bool {
    path_as_sent(req).ends_with('/')
}

/// Redirects from a selector, such as `latest`, to the version that it stands for now. The address ends in a slash if the
/// request does.
pub(super) fn from_selector(call: &Call, address: &str) -> HttpResponse {
    let slash = if has_slash(&call.req) { "/" } else { "" };
    redirect(&call.req, format!("{}{slash}", call.app.link(address)))
}

/// Redirects to the same address with a slash at its end: the links of an index page start there.
pub(super) fn to_index(call: &Call, address: &str) -> HttpResponse {
    HttpResponse::Found()
        .insert_header((header::LOCATION, with_query(format!("{}/", call.app.link(address)), &call.req)))
        .insert_header((header::CACHE_CONTROL, "private, no-cache"))
        .insert_header((header::VARY, "Accept"))
        .finish()
}
