//! Forms that only our own pages can send. Reading one is checking where it comes from: there is no other way to its
//! fields.

use crate::auth::call::Call;
use crate::auth::session;
use crate::domain::digest::to_hex;
use crate::domain::ids::SessionId;
use crate::domain::secret::{MasterKey, random_text};
use crate::error::{Error, Result};
use crate::http::body::PacedBody;
use crate::state::App;
use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponseBuilder, web};
use serde::de::DeserializeOwned;
use std::future::{Ready, ready};
use std::marker::PhantomData;

/// Most bytes of a form without files.
const MAX_FORM: usize = 64 << 10;
/// The field that carries the token, and the header field for scripts.
pub const FIELD: &str = "csrf";
const HEADER: &str = "x-csrf-token";
/// The cookie of somebody without a session: what the token of his forms is bound to.
const VISIT: &str = "packhouse-visit";

/// A visit that begins with this request.
struct NewVisit(String);

fn bound_to(app: &App, kind: &str, what: &[u8]) -> String {
    let key = MasterKey::new(app.key.derive("forms"));
    to_hex(&key.authenticate(&[kind.as_bytes(), what]))
}

/// The token of the forms in the answer to a request: bound to its session, else to its visit, which is made if there
/// is none.
pub fn token(req: &HttpRequest, app: &App) -> Option<String> {
    if let Some(token) = expected(req, app) {
        return Some(token);
    }
    let visit = random_text(32);
    req.extensions_mut().insert(NewVisit(visit.clone()));
    Some(bound_to(app, "visit", visit.as_bytes()))
}

/// The token of the forms in the answer that begins a session.
pub fn token_of(app: &App, session: SessionId) -> String {
    bound_to(app, "session", session.as_bytes())
}

/// The token that a request with these cookies must bring.
fn expected(req: &HttpRequest, app: &App) -> Option<String> {
    if let Some(session) = session::read(req, app) {
        return Some(token_of(app, session));
    }
    if let Some(visit) = req.extensions().get::<NewVisit>() {
        return Some(bound_to(app, "visit", visit.0.as_bytes()));
    }
    let visit = req.cookie(&session::cookie_name(app, VISIT))?;
    Some(bound_to(app, "visit", visit.value().as_bytes()))
}

/// Gives a new visitor his cookie.
pub fn remember_visit(req: &HttpRequest, app: &App, builder: &mut HttpResponseBuilder) {
    if let Some(visit) = req.extensions().get::<NewVisit>() {
        builder.cookie(session::cookie(app, VISIT, visit.0.clone()));
    }
}

const FOREIGN: &str = "this form was not sent by a page of this site, or that page is too old: go back, load it again, \
                       and send it once more";

/// Whether a browser says that a request comes from elsewhere (Fetch Metadata, else `Origin`).
fn is_foreign(req: &HttpRequest, app: &App) -> bool {
    let field = |name: &str| req.headers().get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = field("sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    let Some(origin) = field("origin") else { return false };
    let host = origin.split_once("://").map_or(origin, |(_, host)| host);
    let own = app.config.public_root().and_then(|root| root.split_once("://")).map(|(_, rest)| rest);
    let own_host = own.and_then(|rest| rest.split('/').next());
    let asked = field(header::HOST.as_str());
    Some(host) != own_host.or(asked)
}

/// Whether two texts are the same, in a time that does not tell where they differ.
fn same(one: &str, other: &str) -> bool {
    let digest = |text: &str| MasterKey::new([0; 32]).authenticate(&[text.as_bytes()]);
    digest(one) == digest(other)
}

/// Checks that a request was made by a page of ours: by the token in its head.
///
/// # Errors
/// [`Error::Forbidden`].
pub fn check_head(call: &Call) -> Result<()> {
    let brought = call.req.headers().get(HEADER).and_then(|value| value.to_str().ok());
    check(call, brought)
}

/// Checks the same by the token that came as a field, for forms with files.
///
/// # Errors
/// [`Error::Forbidden`].
pub fn check_field(call: &Call, brought: &str) -> Result<()> {
    check(call, Some(brought))
}

fn check(call: &Call, brought: Option<&str>) -> Result<()> {
    let expected = expected(&call.req, &call.app);
    let right = expected.zip(brought).is_some_and(|(expected, brought)| same(&expected, brought));
    if right && !is_foreign(&call.req, &call.app) { Ok(()) } else { Err(Error::Forbidden(FOREIGN.to_owned())) }
}

/// A form of ours.
pub struct Protected<T>(web::Payload, PhantomData<T>);

impl<T> FromRequest for Protected<T> {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, actix_web::Error>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let payload = web::Payload::from_request(req, payload).into_inner();
        ready(payload.map(|payload| Self(payload, PhantomData)))
    }
}

impl<T: DeserializeOwned> Protected<T> {
    /// Reads the fields of a form that comes from a page of ours, once its sender may do what it is for at all: who was
    /// signed out meanwhile is asked to sign in, whatever he sent.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for one that does not; [`Error::Invalid`]; the sender's lack of a right.
    pub async fn read(self, call: &Call) -> Result<T> {
        call.admit(|_, _| Ok(())).await?;
        let text = PacedBody::new(self.0, call.app.pace()).read_up_to(MAX_FORM).await?;
        let too_long = || Error::invalid("form", format!("the form is longer than {MAX_FORM} bytes"));
        let text = text.ok_or_else(too_long)?;
        let wrong =
            |error: serde_html_form::de::Error| Error::invalid("form", format!("the form does not fit: {error}"));
        let fields: Vec<(String, String)> = serde_html_form::from_bytes(&text).map_err(wrong)?;
        let brought = fields.iter().find(|(name, _)| name == FIELD).map(|(_, value)| value.as_str());
        check(call, brought)?;
        serde_html_form::from_bytes(&text).map_err(wrong)
    }
}
