//! Forms that only our own pages can send. [`Protected`] gives access to the fields only after checking where the form
//! comes from.

use crate::auth::call::Call;
use crate::auth::origin::{field, host_of, is_foreign};
use crate::auth::session;
use crate::domain::digest::to_hex;
use crate::domain::ids::SessionId;
use crate::domain::secret::{MasterKey, random_text};
use crate::error::{Error, Result};
use crate::http::body::{PacedBody, demand_utf8_form};
use crate::state::App;
use actix_web::cookie::Cookie;
use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use serde::de::DeserializeOwned;
use std::future::{Ready, ready};
use std::marker::PhantomData;

/// The maximum size of a form without files, in bytes.
const MAX_FORM: usize = 64 << 10;
/// The maximum size of a form with Markdown in it: 256 KiB of text, escaped.
const MAX_LONG_FORM: usize = 1 << 20;
/// The form field and, for scripts, the header that carry the CSRF token.
pub const FIELD: &str = "csrf";
const HEADER: &str = "x-csrf-token";
/// The cookie of visitors without a session, to which the CSRF token of their forms is bound.
const VISIT: &str = "packhouse-visit";

/// A visit that starts with this request.
struct NewVisit(String);

fn bound_to(app: &App, kind: &str, what: &[u8]) -> String {
    let key = MasterKey::new(app.key.derive("forms"));
    to_hex(&key.authenticate(&[kind.as_bytes(), what]))
}

/// The CSRF token for the forms in the response. It is bound to the session, or else to the visit, which starts now if
/// there is none.
pub fn token(req: &HttpRequest, app: &App) -> Option<String> {
    if let Some(token) = expected(req, app) {
        return Some(token);
    }
    let visit = random_text(32);
    req.extensions_mut().insert(NewVisit(visit.clone()));
    Some(bound_to(app, "visit", visit.as_bytes()))
}

/// The CSRF token for the forms in the response that starts a session.
pub fn token_of(app: &App, session: SessionId) -> String {
    bound_to(app, "session", session.as_bytes())
}

/// The CSRF token that a request with these cookies must send.
fn expected(req: &HttpRequest, app: &App) -> Option<String> {
    if let Some(session) = session::read(req, app) {
        return Some(token_of(app, session));
    }
    if let Some(visit) = req.extensions().get::<NewVisit>() {
        return Some(bound_to(app, "visit", visit.0.as_bytes()));
    }
    let visit = session::cookie_value(req, app, VISIT)?;
    Some(bound_to(app, "visit", visit.as_bytes()))
}

/// The cookie of a new visitor.
pub fn visit_cookie(req: &HttpRequest, app: &App) -> Option<Cookie<'static>> {
    req.extensions().get::<NewVisit>().map(|visit| session::cookie(app, VISIT, visit.0.clone()))
}

const FOREIGN: &str = "this form did not come from a page of this site, or the page has expired: go back, reload the \
                       page and submit the form again";

/// Why a form was refused. People who use the site at an address that is not `public_url` have no valid token, because
/// their browser keeps the cookies of each address apart: they are told the right address.
fn refused(req: &HttpRequest, app: &App) -> Error {
    let Some(public) = &app.config.public_url else { return Error::Forbidden(FOREIGN.to_owned()) };
    let (root, origin) = (public.root(), field(req, "origin").filter(|origin| *origin != "null"));
    // A page of another site is no page of this site at another address. A proxy may change `Host`, but not the rest.
    let is_own = |origin: &str| match field(req, "sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => host_of(origin) == field(req, header::HOST.as_str()),
    };
    Error::Forbidden(match origin.filter(|origin| *origin != public.origin() && is_own(origin)) {
        Some(origin) => format!(
            "you opened this site at {origin}, but its address is {root}: open {root} and sign in there. If {origin} is \
             right, ask an administrator to set public_url to it"
        ),
        None => format!(
            "this form did not come from a page of {root}, or the page has expired: open {root}, go to the page again \
             and submit the form"
        ),
    })
}

/// Compares two texts in constant time.
fn same(one: &str, other: &str) -> bool {
    let digest = |text: &str| MasterKey::new([0; 32]).authenticate(&[text.as_bytes()]);
    digest(one) == digest(other)
}

/// Checks the CSRF token in the request header.
///
/// # Errors
/// [`Error::Forbidden`].
pub fn check_head(call: &Call) -> Result<()> {
    let brought = call.req.headers().get(HEADER).and_then(|value| value.to_str().ok());
    check(call, brought)
}

/// Checks the CSRF token from a form field, for forms with files.
///
/// # Errors
/// [`Error::Forbidden`].
pub fn check_field(call: &Call, brought: &str) -> Result<()> {
    check(call, Some(brought))
}

fn check(call: &Call, brought: Option<&str>) -> Result<()> {
    let expected = expected(&call.req, &call.app);
    let right = expected.zip(brought).is_some_and(|(expected, brought)| same(&expected, brought));
    if right && !is_foreign(&call.req, &call.app) { Ok(()) } else { Err(refused(&call.req, &call.app)) }
}

/// A form sent by one of our own pages.
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
    /// Reads the fields after checking that the sender may do this at all and that the form comes from one of our
    /// pages. People who have been signed out in the meantime are asked to sign in, whatever they sent.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the form comes from elsewhere; [`Error::Invalid`]; an error of authorization.
    pub async fn read(self, call: &Call) -> Result<T> {
        self.read_up_to(call, MAX_FORM).await
    }

    /// [`Protected::read`] for a form with a long text.
    ///
    /// # Errors
    /// As [`Protected::read`].
    pub async fn read_long(self, call: &Call) -> Result<T> {
        self.read_up_to(call, MAX_LONG_FORM).await
    }

    async fn read_up_to(self, call: &Call, most: usize) -> Result<T> {
        call.admit(|_, _| Ok(())).await?;
        let text = PacedBody::new(self.0, call.app.pace()).read_up_to(most).await?;
        let too_long = || Error::invalid("form", format!("the form is longer than {most} bytes"));
        let text = text.ok_or_else(too_long)?;
        demand_utf8_form(&text)?;
        let wrong = |error: serde_html_form::de::Error| Error::invalid("form", format!("the form is invalid: {error}"));
        let fields: Vec<(String, String)> = serde_html_form::from_bytes(&text).map_err(wrong)?;
        let brought = fields.iter().find(|(name, _)| name == FIELD).map(|(_, value)| value.as_str());
        check(call, brought)?;
        serde_html_form::from_bytes(&text).map_err(wrong)
    }
}
