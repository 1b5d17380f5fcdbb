//! Security settings: two-factor authentication, passkeys, linked accounts of providers, and active sessions.

use super::device::{device, icon};
use super::format::When;
use super::forms::Protected;
use super::identities::label;
use super::login::Nothing;
use super::page::{Frame, Reply, frame};
use crate::auth::call::Call;
use crate::auth::session;
use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::domain::ids::SessionId;
use crate::error::{Error, Result, What};
use crate::oidc::Provider;
use crate::registry::accounts::identities::{self, Identity};
use crate::registry::accounts::passkeys::{self, Passkey};
use crate::registry::accounts::sessions::{self, Session};
use crate::registry::accounts::two_factor::{enrolled_since, has_totp, recovery};
use askama::Template;
use serde::Deserialize;
use std::sync::Arc;

/// A row in the list of sessions.
struct Line {
    session: Session,
    /// Whether this is the current session.
    here: bool,
    now: Timestamp,
}

impl Line {
    fn device(&self) -> String {
        device(&self.session.user_agent)
    }

    fn icon(&self) -> &'static str {
        icon(&self.session.user_agent)
    }

    fn begun(&self) -> When {
        When { at: self.session.created_at, now: self.now }
    }

    fn seen(&self) -> When {
        When { at: self.session.last_seen_at, now: self.now }
    }
}

#[derive(Template)]
#[template(path = "security.html")]
struct SecurityPage {
    frame: Frame,
    /// When two-factor authentication was turned on, if it is.
    factor: Option<When>,
    /// Whether codes of an authenticator app count.
    has_totp: bool,
    codes_left: i64,
    passkeys: Vec<PasskeyLine>,
    /// Whether browsers have passkeys at the site's address.
    takes_passkeys: bool,
    /// The linked accounts of providers.
    linked: Vec<Linked>,
    /// The providers to link: what people call them, and the address of the page for it.
    providers: Vec<(String, String)>,
    lines: Vec<Line>,
}

/// A row in the list of passkeys.
struct PasskeyLine {
    passkey: Passkey,
    added: When,
    used: Option<When>,
    rename_url: String,
    remove_url: String,
}

impl PasskeyLine {
    fn new(passkey: Passkey, now: Timestamp) -> Self {
        Self {
            added: When { at: passkey.created_at, now },
            used: passkey.last_used_at.map(|at| When { at, now }),
            rename_url: address::passkey_rename(passkey.id),
            remove_url: address::passkey_remove(passkey.id),
            passkey,
        }
    }
}

/// A linked account of a provider.
struct Linked {
    identity: Identity,
    label: String,
    used: Option<When>,
    unlink_url: String,
}

/// `GET /user/settings/security`.
pub async fn show(call: Call) -> Result<Reply> {
    let now = call.app.clock.now();
    let (frame, (factor, passkeys, identities, mut lines)) = frame(&call, move |conn, caller| {
        let user = caller.signed_in()?.id;
        let line = |session: Session| Line { here: caller.session() == Some(session.id), session, now };
        let lines: Vec<Line> = sessions::list(conn, user, now)?.into_iter().map(line).collect();
        let identities = identities::list(conn, user)?;
        let factor = (enrolled_since(conn, user)?, has_totp(conn, user)?, recovery::left(conn, user)?);
        Ok((factor, passkeys::list(conn, user)?, identities, lines))
    })
    .await?;
    lines.sort_by_key(|line| !line.here);
    let (since, has_totp, codes_left) = factor;
    let factor = since.map(|at| When { at, now });
    let passkeys = passkeys.into_iter().map(|passkey| PasskeyLine::new(passkey, now)).collect();
    let takes_passkeys = call.app.relying_party().is_some();
    let linked = identities.into_iter().map(|identity| Linked {
        label: label(&call, &identity),
        used: identity.last_used_at.map(|at| When { at, now }),
        unlink_url: address::identity_unlink(identity.id),
        identity,
    });
    let linked = linked.collect();
    let link = |provider: &Arc<Provider>| {
        let config = provider.config();
        (config.label().to_owned(), address::identity_link(&config.name))
    };
    let providers = call.app.oidc.all().iter().map(link).collect();
    Reply::page(&SecurityPage {
        frame,
        factor,
        has_totp,
        codes_left,
        passkeys,
        takes_passkeys,
        linked,
        providers,
        lines,
    })
}

#[derive(Deserialize)]
pub struct Which {
    session: String,
}

/// `POST /user/settings/security/sessions/end`.
pub async fn end_session(call: Call, form: Protected<Which>) -> Result<Reply> {
    let id: SessionId = form.read(&call).await?.session.parse().map_err(|_| Error::NotFound(What::Session))?;
    let now = call.app.clock.now();
    let here = call
        .writing(move |conn, caller| {
            sessions::end(conn, caller, id, now)?;
            Ok(caller.session() == Some(id))
        })
        .await?;
    Ok(match here {
        true => Reply::to("/").cookie(session::end(&call.app)).notice(&call.app, "You've been signed out."),
        false => Reply::to("/user/settings/security").notice(&call.app, "Session ended."),
    })
}

/// `POST /user/settings/security/sessions/end-all`.
pub async fn end_all(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    form.read(&call).await?;
    let now = call.app.clock.now();
    call.writing(move |conn, caller| sessions::end_all(conn, caller, now)).await?;
    let reply = Reply::to("/").cookie(session::end(&call.app));
    Ok(reply.notice(&call.app, "You've been signed out everywhere."))
}
