//! Publishing a file: rights and limits first, then the body, then one transaction.

use super::{AppData, answer, begin};
use crate::domain::digest::Sha256;
use crate::domain::path::FilePath;
use crate::error::{Error, Result};
use crate::http::body::{BodyError, PacedBody};
use crate::http::middleware::tell;
use crate::http::params::{GENERIC, file_url};
use crate::intake::{Admitted, Receiving, Sender, check_head, content_length, is_form};
use crate::registry::packages::publish;
use crate::state::App;
use actix_multipart::Multipart;
use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt;
use std::sync::Arc;

/// Most bytes in the fields of a form that are not the file.
const MOST_BESIDE: usize = 64 << 10;

/// `PUT` of a file.
pub async fn upload(req: HttpRequest, payload: web::Payload, app: AppData) -> HttpResponse {
    let result = try_upload(&req, payload, &app).await;
    answer(&req, &app, result)
}

async fn try_upload(req: &HttpRequest, payload: web::Payload, app: &Arc<App>) -> Result<HttpResponse> {
    let (path, presented) = begin(req, app, GENERIC.file(req)).await?;
    tell(req, |story| story.owner = Some(path.owner.to_string()));
    let headers = req.headers();
    let form = is_form(headers);
    // What is wrong with the head is said to those who may publish: a stranger hears that he is one.
    let digests = check_head(headers, form);
    let said = publish::DeclaredUpload {
        length: if form { None } else { content_length(headers) },
        sha256: digests.as_ref().ok().and_then(|digests| digests.sha256),
        only_if_absent: headers.get(header::IF_NONE_MATCH).is_some_and(|value| value == "*"),
    };
    let admitted = Sender { req, app, presented: &presented }.admit(path.clone(), said).await?;
    let digests = digests?;
    let mut receiving = match admitted {
        Admitted::SameIsThere(sha256) => return Ok(answer_stored(app, StatusCode::OK, &path, sha256)),
        Admitted::Wanted(wanted) => wanted.begin(digests)?,
    };
    let body = PacedBody::new(payload, app.pace());
    if form {
        receive_form(&mut receiving, Multipart::new(headers, body)).await?;
    } else {
        receiving.receive(body).await?;
    }
    let kept = receiving.keep().await?;
    let status = if kept.stored { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answer_stored(app, status, &path, kept.sha256))
}

fn answer_stored(app: &App, status: StatusCode, path: &FilePath, sha256: Sha256) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((header::LOCATION, app.url(&file_url(path))))
        .insert_header((header::ETAG, format!("\"{sha256}\"")))
        .finish()
}

/// Reads a form whose one file part is the file; parts without a file name are passed over.
async fn receive_form(receiving: &mut Receiving<'_>, mut form: Multipart) -> Result<()> {
    let (mut found, mut passed_over) = (false, 0);
    while let Some(field) = form.next().await {
        let mut field = field.map_err(|error| BodyError::from(error).0)?;
        if field.content_disposition().and_then(|disposition| disposition.get_filename()).is_none() {
            while let Some(chunk) = field.next().await {
                passed_over += chunk.map_err(|error| BodyError::from(error).0)?.len();
                if passed_over > MOST_BESIDE {
                    return Err(Error::invalid("body", "the form has more than a file: send the file alone"));
                }
            }
            continue;
        }
        if found {
            return Err(Error::invalid("body", "the form has several files: send one in each request"));
        }
        found = true;
        receiving.receive(field).await?;
    }
    let none = "the form has no file: send one part with a filename, or the file as the body";
    if found { Ok(()) } else { Err(Error::invalid("body", none)) }
}
