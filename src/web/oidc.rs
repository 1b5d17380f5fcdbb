//! Signing in with an OpenID Connect provider: to the provider and back, for a sign-in, to link an account, or to confirm
//! who it is.

use super::login::{Proof, ask_for_code, back, begin};
use super::notice::Notice;
use super::page::{Frame, Reply, frame, site_root, within_site};
use crate::auth::call::Call;
use crate::auth::session::{self, PendingUser};
use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::domain::ids::SessionId;
use crate::domain::names::Email;
use crate::domain::path::escape;
use crate::domain::sign_in::ProviderName;
use crate::error::{Error, Result, What};
use crate::http::paging::param;
use crate::http::request_log::client;
use crate::oidc::{Demand, Person, Provider, Refusal, Returned};
use crate::registry::access::can_change_own;
use crate::registry::accounts::attempts;
use crate::registry::accounts::identities::{self, Claimed, Entry, EntryRules, Refused};
use crate::registry::accounts::sessions::ProvenIdentity;
use crate::registry::accounts::two_factor;
use crate::state::App;
use actix_web::cookie::Cookie;
use actix_web::http::StatusCode;
use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// How long somebody may take at the provider.
const PENDING: Duration = Duration::from_secs(600);
/// The cookie of a browser that is at the provider.
const STATE: &str = "packhouse-oidc";
/// The longest address to come back to: it is part of a cookie.
const MOST_OF_BACK: usize = 1000;
const SECURITY: &str = "/user/settings/security";

/// What somebody goes to the provider for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Purpose {
    SignIn,
    /// To link the account there to the user of this session.
    Link(String),
    /// To prove again that they are the user of this session.
    Confirm(String),
}

/// What the browser keeps, encrypted, while it is at the provider.
#[derive(Serialize, Deserialize)]
struct Pending {
    provider: ProviderName,
    purpose: Purpose,
    state: String,
    nonce: String,
    verifier: String,
    redirect_uri: String,
    back: String,
    /// When it began, in seconds after the Unix epoch.
    begun: i64,
}

/// A cookie with an encrypted value.
pub(super) fn sealed_cookie(app: &App, name: &'static str, value: &impl Serialize) -> Result<Cookie<'static>> {
    let text = serde_json::to_vec(value).map_err(Error::internal)?;
    let sealed = identities::seal_state(&app.key, &text)?;
    Ok(session::lasting(app, name, URL_SAFE_NO_PAD.encode(sealed), PENDING))
}

/// The value of such a cookie of the request.
pub(super) fn open_cookie<T: serde::de::DeserializeOwned>(call: &Call, name: &str) -> Option<T> {
    let sealed = URL_SAFE_NO_PAD.decode(session::cookie_value(&call.req, &call.app, name)?).ok()?;
    serde_json::from_slice(&identities::open_state(&call.app.key, &sealed)?).ok()
}

impl Pending {
    /// What the request's cookie says, if it is from this server and not too old.
    fn read(call: &Call) -> Option<Self> {
        let pending: Self = open_cookie(call, STATE)?;
        let (begun, now) = (Timestamp::from_unix(pending.begun), call.app.clock.now());
        (begun.plus(PENDING) > now && begun <= now.latest_end_of(Duration::ZERO)).then_some(pending)
    }
}

/// The provider in the path.
pub(super) async fn provider_of(call: &Call) -> Result<Arc<Provider>> {
    let name: ProviderName = call.part("provider", What::Provider).await?;
    call.app.oidc.find(name.as_str()).cloned().ok_or(Error::NotFound(What::Provider))
}

/// The address to register at a provider.
pub(super) fn redirect_uri(call: &Call, provider: &Provider) -> String {
    let config = provider.config();
    let path = match config.gitea_callback {
        true => address::oidc_gitea_callback(&config.name),
        false => address::oidc_callback(&config.name),
    };
    format!("{}{path}", site_root(&call.req, &call.app))
}

/// Why a provider can't be used: the reason only for administrators, who find it on their page and in the log.
pub(super) fn unreachable_notice(provider: &Provider) -> Notice {
    Notice::bad(&format!("{} can't be reached at the moment. Try again later.", provider.config().label()))
}

/// The address at the provider, and the cookie for coming back.
pub(super) async fn depart(
    call: &Call,
    provider: &Provider,
    purpose: Purpose,
    back: String,
) -> Result<Option<(String, Cookie<'static>)>> {
    let (now, redirect_uri) = (call.app.clock.now(), redirect_uri(call, provider));
    let demand = if matches!(purpose, Purpose::Confirm(_)) { Demand::Fresh } else { Demand::Known };
    let Ok(started) = provider.start(&redirect_uri, demand, now).await else { return Ok(None) };
    let back = if back.len() > MOST_OF_BACK { "/".to_owned() } else { back };
    let provider = provider.config().name.clone();
    let (state, nonce, verifier) = (started.state, started.nonce, started.verifier);
    let pending = Pending { provider, purpose, state, nonce, verifier, redirect_uri, back, begun: now.unix() };
    Ok(Some((started.url, sealed_cookie(&call.app, STATE, &pending)?)))
}

/// `GET /login/oidc/{provider}`.
pub async fn start(call: Call) -> Result<Reply> {
    let provider = provider_of(&call).await?;
    let back = back(&call);
    match depart(&call, &provider, Purpose::SignIn, back.clone()).await? {
        Some((url, cookie)) => Ok(Reply::away(&url)?.cookie(cookie)),
        None => {
            let query = if back == "/" { String::new() } else { format!("?redirect_to={}", escape(&back)) };
            Ok(Reply::to(&format!("/login{query}")).tell(&call.app, &unreachable_notice(&provider)))
        }
    }
}

/// The session of the caller, for coming back to the same.
pub(super) async fn own_session(call: &Call) -> Result<SessionId> {
    call.reading(|_, caller| caller.session().ok_or(Error::Unauthenticated)).await
}

/// `GET /login/oidc/{provider}/confirm`.
pub async fn confirm(call: Call) -> Result<Reply> {
    let session = own_session(&call).await?;
    let provider = provider_of(&call).await?;
    let back = back(&call);
    match depart(&call, &provider, Purpose::Confirm(session.to_string()), back.clone()).await? {
        Some((url, cookie)) => Ok(Reply::away(&url)?.cookie(cookie)),
        None => Ok(Reply::to(&back).tell(&call.app, &unreachable_notice(&provider))),
    }
}

/// `GET /user/oauth2/{provider}/callback`: the address of Gitea, which providers may know.
pub async fn gitea_callback(call: Call) -> Result<Reply> {
    let provider = provider_of(&call).await?;
    let query = call.req.query_string();
    Ok(Reply::to(&format!("{}?{query}", address::oidc_callback(&provider.config().name))))
}

/// Why a sign-in did not work, and what to do.
#[derive(Template)]
#[template(path = "oidc_refused.html")]
struct RefusedPage {
    frame: Frame,
    label: String,
    message: String,
    /// Where to try again.
    again: String,
}

async fn refuse(
    call: &Call,
    label: &str,
    status: StatusCode,
    message: impl Into<String>,
    again: &str,
) -> Result<Reply> {
    let (frame, ()) = frame(call, |_, _| Ok(())).await?;
    let page = RefusedPage { frame, label: label.to_owned(), message: message.into(), again: again.to_owned() };
    Reply::page_with(status, &page)
}

/// A parameter of the query, decoded.
fn decoded(call: &Call, name: &str) -> Option<String> {
    let raw = param(&call.req, name)?.replace('+', " ");
    Some(percent_decode_str(&raw).decode_utf8_lossy().into_owned())
}

/// `GET /login/oidc/{provider}/callback`.
pub async fn callback(call: Call) -> Result<Reply> {
    let provider = provider_of(&call).await?;
    let config = provider.config();
    let (label, now) = (config.label(), call.app.clock.now());
    let begin_again = address::oidc_start(&config.name);
    let Some(pending) = Pending::read(&call) else {
        let text = "This sign-in has expired, or was completed already. Sign in again.";
        return refuse(&call, label, StatusCode::BAD_REQUEST, text, &begin_again).await;
    };
    // An answer to another sign-in, or from another provider, changes nothing: this one may still be answered.
    if pending.provider != config.name || decoded(&call, "state").as_deref() != Some(pending.state.as_str()) {
        tracing::warn!(provider = %config.name, client = ?client(&call.req), "an answer to another sign-in was refused");
        let text = "This answer belongs to another sign-in than the one that this browser began last. Sign in again.";
        return refuse(&call, label, StatusCode::BAD_REQUEST, text, &begin_again).await;
    }
    let again = match &pending.purpose {
        Purpose::SignIn => begin_again,
        Purpose::Link(_) => SECURITY.to_owned(),
        Purpose::Confirm(_) => pending.back.clone(),
    };
    let done = match arrive(&call, &provider, &pending, now).await? {
        Ok(person) => complete(&call, &provider, pending, person, &again, now).await?,
        Err((status, text)) => refuse(&call, label, status, text, &again).await?,
    };
    Ok(done.cookie(session::removal(&call.app, STATE)))
}

/// The person whom the provider vouches for, or the status and message of a refusal.
async fn arrive(
    call: &Call,
    provider: &Provider,
    pending: &Pending,
    now: Timestamp,
) -> Result<Result<Person, (StatusCode, String)>> {
    let name = &provider.config().name;
    let refused = |refusal: &Refusal| {
        tracing::warn!(provider = %name, client = ?client(&call.req), why = %refusal, "a sign-in was refused");
        let text = match refusal {
            Refusal::Unreachable(_) => "The provider can't be reached at the moment. Try again later.",
            Refusal::Stale => "The provider didn't ask you to sign in again, so nothing is confirmed. Try again.",
            Refusal::Code(_) | Refusal::Token(_) => {
                "The provider's answer is not valid. Try again. If it happens again, tell an administrator, who finds the \
                 reason in the server's log."
            }
        };
        (StatusCode::FORBIDDEN, text.to_owned())
    };
    if let Err(refusal) = provider.check_sender(decoded(call, "iss").as_deref(), now).await {
        return Ok(Err(refused(&refusal)));
    }
    if let Some(error) = decoded(call, "error") {
        tracing::info!(provider = %name, why = error, "a provider refused a sign-in");
        let text = match error.as_str() {
            "access_denied" => "You canceled the sign-in, or you aren't allowed to use this site.".to_owned(),
            _ => "The provider refused the sign-in. If it happens again, tell an administrator.".to_owned(),
        };
        return Ok(Err((StatusCode::FORBIDDEN, text)));
    }
    let Some(code) = decoded(call, "code").filter(|code| !code.is_empty()) else {
        return Ok(Err((StatusCode::BAD_REQUEST, "The provider's answer is incomplete. Try again.".to_owned())));
    };
    // Each code is a request to the provider, so nobody may send many that are wrong.
    let buckets = attempts::provider_buckets(client(&call.req));
    let taken = buckets.clone();
    call.app.db.write(move |conn| attempts::take(conn, &taken, now)).await?;
    let since = matches!(pending.purpose, Purpose::Confirm(_)).then(|| Timestamp::from_unix(pending.begun));
    let returned = Returned {
        code,
        nonce: pending.nonce.clone(),
        verifier: pending.verifier.clone(),
        redirect_uri: pending.redirect_uri.clone(),
        since,
    };
    match provider.finish(returned, now).await {
        Ok(person) => {
            call.app.db.write(move |conn| attempts::give_back(conn, &buckets)).await?;
            Ok(Ok(person))
        }
        Err(refusal) => {
            // The provider's own trouble is nobody's attempt.
            if matches!(refusal, Refusal::Unreachable(_)) {
                call.app.db.write(move |conn| attempts::give_back(conn, &buckets)).await?;
            }
            Ok(Err(refused(&refusal)))
        }
    }
}

fn claimed(provider: &Provider, person: &Person) -> Claimed {
    Claimed {
        provider: provider.config().name.clone(),
        issuer: person.issuer.clone(),
        subject: person.subject.clone(),
        email: person.email.as_ref().and_then(|email| email.parse::<Email>().ok()),
        email_verified: person.email_verified,
        user_name: person.user_name.clone(),
        full_name: person.full_name.clone(),
        groups: person.groups.clone(),
    }
}

async fn complete(
    call: &Call,
    provider: &Provider,
    pending: Pending,
    person: Person,
    again: &str,
    now: Timestamp,
) -> Result<Reply> {
    let label = provider.config().label();
    let claimed = claimed(provider, &person);
    let is_same = |session: &str| session::read(&call.req, &call.app).is_some_and(|own| own.to_string() == session);
    let done = match &pending.purpose {
        Purpose::SignIn => return sign_in(call, provider, claimed, person, &within_site(&pending.back), now).await,
        Purpose::Link(session) | Purpose::Confirm(session) if !is_same(session) => {
            let text = "You were signed out in the meantime. Sign in and try again.";
            return refuse(call, label, StatusCode::FORBIDDEN, text, again).await;
        }
        Purpose::Link(_) => {
            call.writing(move |conn, caller| {
                let right = can_change_own(conn, caller)?;
                identities::link(conn, caller, &right, &claimed, now)
            })
            .await
        }
        Purpose::Confirm(_) => {
            call.writing(move |conn, caller| identities::confirm(conn, caller, &claimed, now).map(|()| true)).await
        }
    };
    match (done, pending.purpose) {
        (Ok(true), Purpose::Link(_)) => {
            let notice = format!("Linked. From now on, you can sign in with {label}.");
            Ok(Reply::to(SECURITY).notice(&call.app, &notice))
        }
        (Ok(_), Purpose::Link(_)) => {
            Ok(Reply::to(SECURITY).notice(&call.app, &format!("This account of {label} is linked already.")))
        }
        (Ok(_), _) => {
            let notice = "You have confirmed that it's you. This holds for five minutes.";
            Ok(Reply::to(&within_site(&pending.back)).notice(&call.app, notice))
        }
        (Err(Error::Blocked(why)), _) => {
            refuse(call, label, StatusCode::FORBIDDEN, super::problems::sentence("", &why), again).await
        }
        (Err(error), _) => Err(error),
    }
}

async fn sign_in(
    call: &Call,
    provider: &Provider,
    claimed: Claimed,
    person: Person,
    back: &str,
    now: Timestamp,
) -> Result<Reply> {
    let config = provider.config();
    let rules = EntryRules {
        auto_create: config.auto_create,
        allowed_domains: config.allowed_domains.clone(),
        link_by_verified_email: config.link_by_verified_email,
        admin_group: config.admin_group.clone(),
        teams: config.teams.clone(),
    };
    let address = client(&call.req);
    let entry = call.app.db.write(move |conn| identities::enter(conn, &claimed, &rules, address, now)).await?;
    let (user, epoch, identity) = match entry {
        Entry::Admitted { user, epoch, identity, kept } => {
            for why in kept {
                tracing::warn!(provider = %config.name, user = user.0, why, "groups were not followed");
            }
            (user, epoch, identity)
        }
        Entry::Refused(why) => {
            tracing::warn!(provider = %config.name, client = ?address, why = ?why, "a sign-in was refused");
            let (text, again) = (no_entry(why, config.label()), address::oidc_start(&config.name));
            return refuse(call, config.label(), StatusCode::FORBIDDEN, text, &again).await;
        }
    };
    if call.app.db.read(move |conn| two_factor::is_enrolled(conn, user)).await? {
        return ask_for_code(call, PendingUser { id: user, epoch, identity: Some(identity) }, back);
    }
    let sealed_hint = identities::seal_hint(&call.app.key, user, &person.id_token)?;
    let identity = Some(ProvenIdentity { id: identity, sealed_hint });
    let proof = Proof { identity, ..Proof::default() };
    begin(call, (user, epoch), proof, back).await
}

/// Why somebody does not get in, and what to do.
fn no_entry(why: Refused, label: &str) -> String {
    match why {
        Refused::Account => {
            "Your account here is locked, or waits for an administrator's approval. Ask an administrator.".to_owned()
        }
        Refused::NoAccount => format!(
            "No account here is linked to your account of {label}. If you have an account, sign in as usual, and link it \
             in Settings → Security. If you don't, ask an administrator for one."
        ),
        Refused::Domain => format!(
            "Accounts are created only for some email addresses, and {label} has verified no such address of yours. Ask \
             an administrator for an account."
        ),
        Refused::NoEmail => {
            format!(
                "{label} didn't send your email address, without which no account is created. Tell an administrator."
            )
        }
        Refused::NoSubject => format!("{label} doesn't say who you are. Tell an administrator."),
    }
}
