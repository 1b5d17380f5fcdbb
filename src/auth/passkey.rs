//! Asking browsers for a passkey, and checking their answers, with limits against guessing. What was asked is in an
//! encrypted cookie, for one purpose; each answer works once.

use super::call::Call;
use super::{device, session};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OwnerId, SessionId};
use crate::error::{Error, Result};
use crate::http::request_log::client;
use crate::registry::accounts::attempts::{self, KnownPlace};
use crate::registry::accounts::passkeys::challenges;
use crate::registry::accounts::passkeys::relying_party::{Answer, Asked, Refusal, Registered, RelyingParty};
use crate::registry::accounts::passkeys::use_of::{self, Credential};
use crate::state::App;
use actix_web::HttpRequest;
use actix_web::cookie::Cookie;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

/// How long a browser may take to answer.
const PENDING: Duration = Duration::from_secs(300);
/// The cookie with what was asked.
const ASKED: &str = "packhouse-passkey";

/// What a passkey is asked for. An answer for one purpose is worth nothing for another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    SignIn,
    /// As the second factor of a user whose password was right at this epoch of their account.
    SecondFactor {
        user: i64,
        epoch: i32,
    },
    /// To prove again that the reader is the user of this session.
    Confirm {
        user: i64,
        session: String,
    },
    /// To add a passkey to the account of this session.
    Add(String),
}

impl Purpose {
    pub fn second_factor((user, epoch): (OwnerId, i32)) -> Self {
        Self::SecondFactor { user: user.0, epoch }
    }

    pub fn confirm(user: OwnerId, session: SessionId) -> Self {
        Self::Confirm { user: user.0, session: session.to_string() }
    }

    pub fn add(session: SessionId) -> Self {
        Self::Add(session.to_string())
    }
}

#[derive(Serialize, Deserialize)]
struct Pending {
    purpose: Purpose,
    /// What the relying party keeps, in base64url.
    kept: String,
    /// When it was asked, in seconds after the Unix epoch.
    begun: i64,
}

/// The error for an answer that opens nothing: the same for an unknown passkey, a wrong signature and a locked account.
pub const REFUSED: Error = Error::BadCredential(
    "this passkey was not accepted: it is unknown here, or its account has no access. Try another one, or sign in \
     another way",
);
/// The error for an answer to nothing that was asked, or too late.
pub const EXPIRED: Error =
    Error::BadCredential("the time for the passkey is over, or its answer was used already: try again");

/// The site as passkeys know it.
///
/// # Errors
/// [`Error::Blocked`] where browsers have no passkeys.
pub fn relying_party(app: &App) -> Result<RelyingParty> {
    app.relying_party().ok_or_else(|| {
        Error::Blocked(
            "passkeys work only if the server's setting public_url is an https address with a host name: ask an \
             administrator"
                .to_owned(),
        )
    })
}

/// The cookie that keeps what was asked.
///
/// # Errors
/// [`Error::Internal`].
pub fn pend(app: &App, purpose: Purpose, asked: &Asked) -> Result<Cookie<'static>> {
    let pending = Pending { purpose, kept: URL_SAFE_NO_PAD.encode(&asked.kept), begun: app.clock.now().unix() };
    let text = serde_json::to_vec(&pending).map_err(Error::internal)?;
    let sealed = challenges::seal(&app.key, &text)?;
    Ok(session::lasting(app, ASKED, URL_SAFE_NO_PAD.encode(sealed), PENDING))
}

/// Removes that cookie.
pub fn unpend(app: &App) -> Cookie<'static> {
    session::removal(app, ASKED)
}

/// What was asked of this browser for this purpose, and when an answer comes too late.
fn pending(req: &HttpRequest, app: &App, purpose: &Purpose) -> Option<(Vec<u8>, Timestamp)> {
    let sealed = URL_SAFE_NO_PAD.decode(session::cookie_value(req, app, ASKED)?).ok()?;
    let pending: Pending = serde_json::from_slice(&challenges::open(&app.key, &sealed)?).ok()?;
    let (begun, now) = (Timestamp::from_unix(pending.begun), app.clock.now());
    let ends = begun.plus(PENDING);
    let is_open = ends > now && begun <= now.latest_end_of(Duration::ZERO);
    let kept = URL_SAFE_NO_PAD.decode(&pending.kept).ok()?;
    (is_open && pending.purpose == *purpose).then_some((kept, ends))
}

/// The new passkey that this browser brings for a session, whose challenge is used up.
///
/// # Errors
/// [`EXPIRED`]; [`Error::Invalid`] at `answer` for one that is not valid.
pub async fn accept_new(call: &Call, session: SessionId, answer: &str) -> Result<Registered> {
    let site = relying_party(&call.app)?;
    let (kept, ends) = pending(&call.req, &call.app, &Purpose::add(session)).ok_or(EXPIRED)?;
    let asked = kept.clone();
    if !call.app.db.write(move |conn| challenges::use_up(conn, &asked, ends)).await? {
        return Err(EXPIRED);
    }
    site.accept_new(&kept, answer).map_err(|refusal| {
        tracing::warn!(client = ?client(&call.req), why = %refusal, "a new passkey was refused");
        Error::invalid("answer", "the answer of your device is not valid: try again, or use another device")
    })
}

/// The user whom a passkey proved.
#[derive(Debug, Clone)]
pub struct Proven {
    pub user: OwnerId,
    /// The epoch of their account at that time.
    pub epoch: i32,
    /// The name of the passkey.
    pub passkey: String,
}

/// Checks the answer that this browser brings for a purpose. A refused one counts as a failed sign-in.
///
/// # Errors
/// [`REFUSED`], [`EXPIRED`], [`Error::RateLimited`].
pub async fn prove(call: &Call, purpose: &Purpose, answer: &str) -> Result<Proven> {
    let (app, now, address) = (&call.app, call.app.clock.now(), client(&call.req));
    let site = relying_party(app)?;
    let (kept, ends) = pending(&call.req, app, purpose).ok_or(EXPIRED)?;
    let answer = Answer::parse(answer).map_err(|refusal| {
        tracing::warn!(client = ?address, why = %refusal, "an answer of a passkey can't be read");
        Error::invalid("answer", "the answer of your passkey is not valid: try again")
    })?;
    let (named, devices) = (answer.credential_id(), device::read(&call.req, app));
    let (credential, buckets) = app
        .db
        .write(move |conn| {
            let credential = use_of::find_credential(conn, &named)?;
            let of = credential.as_ref().map(|credential| (credential.user, credential.epoch));
            // A browser that is known to be the user's has a bucket that strangers can't fill.
            let place = of.and_then(|of| device::id_for(&devices, of)).map(KnownPlace::Device);
            let buckets = attempts::passkey_buckets(of.map(|(user, _)| user), address, place.as_ref());
            attempts::take(conn, &buckets, now)?;
            Ok((credential, buckets))
        })
        .await?;
    let Some(credential) = credential else {
        tracing::warn!(client = ?address, "a passkey that nobody has was refused");
        return Err(REFUSED);
    };
    let state = match judge(&site, &kept, &answer, &credential, purpose) {
        Ok(state) => state,
        Err(refusal) => return refuse(app, credential, refusal, address, now).await,
    };
    let proven = Proven { user: credential.user, epoch: credential.epoch, passkey: credential.name.to_string() };
    let is_first = app
        .db
        .write(move |conn| {
            let is_first = challenges::use_up(conn, &kept, ends)? && use_of::note(conn, &credential, &state, now)?;
            if is_first {
                attempts::give_back(conn, &buckets)?;
            }
            Ok(is_first)
        })
        .await?;
    if is_first { Ok(proven) } else { Err(EXPIRED) }
}

/// The new state of a credential whose answer is right and whose user is the one who is asked for.
fn judge(
    site: &RelyingParty,
    kept: &[u8],
    answer: &Answer,
    credential: &Credential,
    purpose: &Purpose,
) -> Result<Vec<u8>, Refusal> {
    let state = site.accept(kept, answer, credential.stored())?;
    if !credential.is_open() {
        return Err(Refusal::Answer("the account is locked, or not approved yet".to_owned()));
    }
    match purpose {
        Purpose::SecondFactor { user, .. } | Purpose::Confirm { user, .. } if *user != credential.user.0 => {
            Err(Refusal::Answer("the passkey belongs to another user".to_owned()))
        }
        _ => Ok(state),
    }
}

async fn refuse(
    app: &App,
    credential: Credential,
    refusal: Refusal,
    address: Option<IpAddr>,
    now: Timestamp,
) -> Result<Proven> {
    tracing::warn!(user = credential.user.0, client = ?address, why = %refusal, "a passkey was refused");
    app.db.write(move |conn| use_of::note_refusal(conn, &credential, &refusal, address, now)).await?;
    Err(REFUSED)
}
