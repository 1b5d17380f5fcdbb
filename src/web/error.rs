//! Error pages.

use super::login::LOST;
use super::page::{Frame, Reply, referrer};
use super::problems::sentence;
use crate::auth::policy::{AcceptedCredentials, accepted_credentials, is_for_administrators};
use crate::auth::{reader, session};
use crate::domain::path::escape;
use crate::domain::request_id::RequestId;
use crate::error::{Error, What};
use crate::http::browser::is_browser;
use crate::http::cors::let_follow;
use crate::http::problem::{self, Shape, log_internal, retry_after, status_of};
use crate::http::request_log::request_id;
use crate::http::segment::renamed;
use crate::registry::caller::SignedIn;
use crate::state::App;
use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    frame: Frame,
    status: u16,
    title: &'static str,
    message: String,
    /// What to do about it.
    advice: Option<&'static str>,
    /// The page that led here.
    came_from: Option<String>,
    /// Whether signing in may help.
    may_sign_in: bool,
    request_id: RequestId,
}

fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "Page not found",
        StatusCode::FORBIDDEN => "Access denied",
        StatusCode::CONFLICT => "Someone else was faster",
        StatusCode::PAYLOAD_TOO_LARGE => "Too large",
        StatusCode::TOO_MANY_REQUESTS => "Too many attempts",
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::INSUFFICIENT_STORAGE => "Temporarily unavailable",
        StatusCode::INTERNAL_SERVER_ERROR => "Something went wrong",
        _ => "Request failed",
    }
}

/// The error as a sentence for a page. It calls its reader "you".
fn message(error: &Error, reader: Option<&SignedIn>) -> String {
    match error {
        Error::Forbidden(text) => {
            let name = reader.map(|user| user.name.to_string()).unwrap_or_default();
            let lacks = text.strip_prefix(&name).and_then(|rest| rest.strip_prefix(" does not have "));
            let about_you = || text.replace(&format!(", and {name} is not "), ", and you are not ");
            lacks.map_or_else(|| sentence("", &about_you()), |what| format!("You don't have {what}."))
        }
        Error::NotFound(_) | Error::Moved { .. } => {
            "It may have been deleted, or you may not have access to it. Check the address.".to_owned()
        }
        other => sentence("", &other.to_string()),
    }
}

/// What to do about an error that a page shows.
fn advice(error: &Error, reads: bool) -> Option<&'static str> {
    match error {
        Error::Forbidden(_) if reads => Some("To get access, ask an owner or an administrator."),
        Error::Busy(_) => Some("Wait a moment, then reload the page."),
        Error::Internal(_) => Some("Try again. If it happens again, tell an administrator the request ID."),
        _ => None,
    }
}

/// The same, if it is another page than this one.
fn came_from(req: &HttpRequest, app: &App) -> Option<String> {
    let here = req.uri().path_and_query().map_or("/", |target| target.as_str());
    referrer(req, app).filter(|page| page != here)
}

/// The query that leads back to the requested page after signing in or changing the password; after a form, to the page
/// with the form, with a mark that it was not saved.
fn way_back(req: &HttpRequest, app: &App, reads: bool) -> String {
    if !reads {
        let page = referrer(req, app).map(|page| format!("&redirect_to={}", escape(&page))).unwrap_or_default();
        return format!("?{LOST}=1{page}");
    }
    let here = req.uri().path_and_query().map_or("/", |target| target.as_str());
    if here != "/" { format!("?redirect_to={}", escape(here)) } else { String::new() }
}

/// The error for programs: one line and the status. A program would take the sign-in page for what it asked for.
fn answer_program(req: &HttpRequest, app: &App, error: &Error) -> Reply {
    let (status, code) = status_of(error);
    let (shape, root) = (Shape::asked(req.headers()), app.config.public_root().unwrap_or_default());
    let takes_sessions_only = accepted_credentials(req) == Some(AcceptedCredentials::Session);
    if !takes_sessions_only || status != StatusCode::UNAUTHORIZED {
        return Reply::raw(problem::answer(req, error, status, shape, root));
    }
    let mut response = problem::line(&request_id(req), status, code, FOR_BROWSERS, shape, root);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, problem::CHALLENGE);
    Reply::raw(response)
}

const FOR_BROWSERS: &str = "this page needs a browser that is signed in: programs use the addresses below /api, with an \
                            access token";

/// Renders an error. If the page needs a session and there is none, redirects to the sign-in page, which leads back.
pub async fn render_error(req: &HttpRequest, app: &Arc<App>, error: Error) -> Reply {
    let reads = matches!(*req.method(), Method::GET | Method::HEAD);
    let program = !is_browser(req.headers());
    let error = match error {
        Error::MustChangePassword if !program => {
            return Reply::to(&format!("/user/settings/password{}", way_back(req, app, reads)));
        }
        Error::Moved { from, to, .. } if reads => match renamed(req, &from, &to) {
            Some(path) => {
                let is_download = accepted_credentials(req) == Some(AcceptedCredentials::SessionOrAny);
                let fields = if is_download { let_follow(req) } else { &[] };
                return fields.iter().cloned().fold(Reply::to(&path), |reply, (name, value)| reply.header(name, value));
            }
            None => Error::NotFound(What::Page),
        },
        // To everybody else, the pages of administrators do not exist.
        Error::Forbidden(_)
            if reads && is_for_administrators(req) && (!program || session::read(req, app).is_some()) =>
        {
            Error::NotFound(What::Page)
        }
        other => other,
    };
    if program {
        return answer_program(req, app, &error);
    }
    if matches!(error, Error::Unauthenticated | Error::BadCredential(_)) {
        return Reply::to(&format!("/login{}", way_back(req, app, reads)));
    }
    log_internal(req, &error);
    let (status, _) = status_of(&error);
    // Show the signed-in user on the error page if possible, whatever the address required; otherwise show it without.
    let user = reader(req, app).await;
    let page = ErrorPage {
        message: message(&error, user.as_ref()),
        advice: advice(&error, reads),
        came_from: came_from(req, app),
        may_sign_in: user.is_none() && reads && matches!(error, Error::NotFound(_)),
        frame: Frame::new(req, app, user),
        status: status.as_u16(),
        title: title(status),
        request_id: request_id(req),
    };
    match Reply::page_with(status, &page) {
        Ok(reply) => reply.retry_after(retry_after(&error)),
        Err(error) => {
            log_internal(req, &error);
            Reply::to("/")
        }
    }
}

/// The error page for an address without a route.
pub async fn unknown(req: &HttpRequest, app: &Arc<App>) -> HttpResponse {
    render_error(req, app, Error::NotFound(What::Page)).await.finish(req, app)
}
