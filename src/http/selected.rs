//! Redirects from a selector, such as `latest`, to the version that it stands for now.

use super::segment::with_query;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};

/// In a file's place, stands for the version that a selector stands for.
pub const VERSION: &str = "{version}";

/// Redirects temporarily, to an address that always means the same version. It has no host: at another one, clients drop
/// their credential.
pub fn redirect(req: &HttpRequest, path: String) -> HttpResponse {
    let url = with_query(path, req);
    // Characters that would end the address in `Link`; a client may send them in its query.
    let quoted = url.replace('<', "%3C").replace('>', "%3E").replace('"', "%22");
    HttpResponse::Found()
        .insert_header((header::LINK, format!("<{quoted}>; rel=\"immutable\"")))
        .insert_header((header::LOCATION, url))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .finish()
}
