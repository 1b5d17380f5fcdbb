//! Redirects: from `latest`, and to the address of an index page.

use crate::auth::call::Call;
use crate::http::request_log::path_as_sent;
use crate::http::segment::with_query;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};

/// Whether the path of a request was sent with a slash at its end. Routing ignores it.
pub(super) fn has_slash(req: &HttpRequest) -> bool {
    path_as_sent(req).ends_with('/')
}

/// Redirects from `latest`: temporarily, to an address that always means the same version. It has no host: at another
/// one, clients drop their credential. It ends in a slash if the request does.
pub(super) fn from_latest(call: &Call, address: &str) -> HttpResponse {
    let req = &call.req;
    let slash = if has_slash(req) { "/" } else { "" };
    let url = with_query(format!("{}{slash}", call.app.link(address)), req);
    // Characters that would end the address in `Link`; a client may send them in its query.
    let quoted = url.replace('<', "%3C").replace('>', "%3E").replace('"', "%22");
    HttpResponse::Found()
        .insert_header((header::LINK, format!("<{quoted}>; rel=\"immutable\"")))
        .insert_header((header::LOCATION, url))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .finish()
}

/// Redirects to the same address with a slash at its end: the links of an index page start there.
pub(super) fn to_index(call: &Call, address: &str) -> HttpResponse {
    HttpResponse::Found()
        .insert_header((header::LOCATION, with_query(format!("{}/", call.app.link(address)), &call.req)))
        .insert_header((header::CACHE_CONTROL, "private, no-cache"))
        .insert_header((header::VARY, "Accept"))
        .finish()
}
