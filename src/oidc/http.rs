//! Requests to providers, through [`Outbound`]: its checks of addresses and its limits apply.

use crate::outbound::{Answer, MAX_DOCUMENT, Outbound};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openidconnect::http::{Method, Response};
use openidconnect::{HttpRequest, HttpResponse};

/// Why a request to a provider failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct RequestFailed(String);

/// Sends a request of the library.
pub(super) async fn send(outbound: &Outbound, request: HttpRequest) -> Result<HttpResponse, RequestFailed> {
    let (head, body) = request.into_parts();
    let url = head.uri.to_string();
    let named = |why: &dyn std::fmt::Display| RequestFailed(format!("{}: {why}", without_query(&url)));
    let mut headers = Vec::new();
    for (name, value) in &head.headers {
        let value = value.to_str().map_err(|error| named(&error))?;
        let value = if name == "authorization" { plain_escapes(value) } else { value.to_owned() };
        // A form's type is added together with its fields.
        if head.method != Method::POST || name != "content-type" {
            headers.push((name.as_str().to_owned(), value));
        }
    }
    let answer = if head.method == Method::POST {
        let fields: Vec<(String, String)> = url::form_urlencoded::parse(&body).into_owned().collect();
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        outbound.post_form(&url, &headers, &fields, MAX_DOCUMENT).await
    } else {
        outbound.get(&url, &headers, MAX_DOCUMENT).await
    };
    let answer = answer.map_err(|error| named(&error))?;
    if let Some(cut) = &answer.cut {
        return Err(named(cut));
    }
    into_response(answer).map_err(|error| named(&error))
}

/// A client's credential with `%20` for a space instead of `+`. Both are right (RFC 6749 §2.3.1), but some providers
/// understand only the former.
fn plain_escapes(value: &str) -> String {
    let credential = value.strip_prefix("Basic ").and_then(|text| STANDARD.decode(text).ok());
    match credential.and_then(|bytes| String::from_utf8(bytes).ok()) {
        Some(credential) => format!("Basic {}", STANDARD.encode(credential.replace('+', "%20"))),
        None => value.to_owned(),
    }
}

fn into_response(answer: Answer) -> Result<HttpResponse, openidconnect::http::Error> {
    let kept = answer.headers.iter().filter(|(name, _)| name == "content-type");
    let builder = Response::builder().status(answer.status);
    kept.fold(builder, |builder, (name, value)| builder.header(name, value)).body(answer.body)
}

fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}
