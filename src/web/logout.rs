//! Signing out, here and at the provider where the session began.

use super::forms::Protected;
use super::login::Nothing;
use super::oidc::{open_cookie, provider_of, sealed_cookie};
use super::page::{Frame, Reply, frame};
use crate::auth::call::Call;
use crate::auth::session;
use crate::domain::address;
use crate::domain::ids::OwnerId;
use crate::domain::sign_in::ProviderName;
use crate::error::Result;
use crate::registry::accounts::{identities, sessions};
use askama::Template;
use serde::{Deserialize, Serialize};
use url::Url;

/// The cookie for the page after signing out.
const SIGNED_OUT: &str = "packhouse-signed-out";

/// `POST /logout`. After a session that began at a provider, the next page offers to sign out there too.
pub async fn logout(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    form.read(&call).await?;
    let now = call.app.clock.now();
    let ended = call
        .writing(move |conn, caller| {
            let Some(id) = caller.session() else { return Ok(None) };
            let user = caller.signed_in()?.id;
            let proven = sessions::proven_identity(conn, id)?;
            let identity = proven.as_ref().map(|proven| identities::find(conn, proven.id)).transpose()?.flatten();
            sessions::end(conn, caller, id, now)?;
            Ok(identity.map(|identity| (user, identity.issuer, proven.and_then(|proven| proven.sealed_hint))))
        })
        .await?;
    let reply = match ended {
        Some((user, issuer, hint)) => after_sign_out(&call, user, &issuer, hint)?,
        None => None,
    };
    Ok(reply.unwrap_or_else(|| Reply::to("/")).cookie(session::end(&call.app)))
}

/// What the page after signing out needs.
#[derive(Serialize, Deserialize)]
struct SignedOut {
    provider: ProviderName,
    hint: Option<String>,
}

/// Leads to the page that offers to end the session at the provider too, if the provider can do that.
fn after_sign_out(call: &Call, user: OwnerId, issuer: &str, hint: Option<Vec<u8>>) -> Result<Option<Reply>> {
    let Some(provider) = call.app.oidc.of_issuer(issuer) else { return Ok(None) };
    if provider.end_session_endpoint().is_none() {
        return Ok(None);
    }
    let name = &provider.config().name;
    let hint = hint.and_then(|sealed| identities::open_hint(&call.app.key, user, &sealed));
    let cookie = sealed_cookie(&call.app, SIGNED_OUT, &SignedOut { provider: name.clone(), hint })?;
    Ok(Some(Reply::to(&address::oidc_signed_out(name)).cookie(cookie)))
}

#[derive(Template)]
#[template(path = "oidc_signed_out.html")]
struct SignedOutPage {
    frame: Frame,
    label: String,
    /// The address that ends the session there.
    provider_url: Option<String>,
}

/// `GET /login/oidc/{provider}/signed-out`.
pub async fn signed_out(call: Call) -> Result<Reply> {
    let provider = provider_of(&call).await?;
    let config = provider.config();
    let known: Option<SignedOut> = open_cookie(&call, SIGNED_OUT);
    let hint = known.filter(|known| known.provider == config.name).and_then(|known| known.hint);
    let provider_url = provider.end_session_endpoint().and_then(|url| Url::parse(&url).ok()).map(|mut url| {
        url.query_pairs_mut().append_pair("client_id", &config.client_id);
        if let Some(hint) = hint {
            url.query_pairs_mut().append_pair("id_token_hint", &hint);
        }
        url.to_string()
    });
    let (frame, ()) = frame(&call, |_, _| Ok(())).await?;
    let page = SignedOutPage { frame, label: config.label().to_owned(), provider_url };
    Ok(Reply::page(&page)?.cookie(session::removal(&call.app, SIGNED_OUT)))
}
