//! Publishing a file with `PUT`.

use crate::auth::call::Call;
use crate::domain::address;
use crate::error::Result;
use crate::http::body::PacedBody;
use crate::http::paging::param;
use crate::publish::{self, FileOfForm, Target, is_form, wants_draft};
use actix_multipart::Multipart;
use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{HttpResponse, web};

/// `PUT` of a file, as the body of the request or as the one file of a form.
pub async fn upload(call: Call, payload: web::Payload) -> Result<HttpResponse> {
    let path = call.file_path().await?;
    let headers = call.req.headers();
    let target =
        Target::of_request(path.clone(), headers).draft(wants_draft(&call)).expiring(param(&call.req, "expires_in"));
    let body = PacedBody::new(payload, call.app.pace());
    let published = if is_form(headers) {
        publish::receive(&call, target, FileOfForm::new(Multipart::new(headers, body))).await?
    } else {
        publish::receive(&call, target, body).await?
    };
    Ok(HttpResponse::build(if published.created { StatusCode::CREATED } else { StatusCode::OK })
        .insert_header((header::LOCATION, call.app.url(&address::generic_file(&path))))
        .insert_header((header::ETAG, format!("\"{}\"", published.sha256)))
        .finish())
}
