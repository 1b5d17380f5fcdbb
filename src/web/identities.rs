//! Linking and unlinking accounts of OpenID Connect providers.

use super::forms::Protected;
use super::oidc::{Purpose, depart, own_session, provider_of, unreachable_notice};
use super::page::{Frame, Reply, frame};
use super::problems::Problems;
use crate::auth::call::Call;
use crate::auth::confirm;
use crate::domain::address;
use crate::domain::ids::IdentityId;
use crate::error::{Error, Result, What};
use crate::registry::access::can_change_own;
use crate::registry::accounts::identities::{self, Identity};
use askama::Template;
use serde::Deserialize;

const SECURITY: &str = "/user/settings/security";

/// A page that asks to confirm.
#[derive(Template)]
#[template(path = "identity_confirm.html")]
struct ConfirmPage {
    frame: Frame,
    problems: Problems,
    /// What people call the provider.
    label: String,
    /// The identity to unlink; `None` to link one.
    identity: Option<Identity>,
    action: String,
}

/// The way to the provider. A redirect after a form must stay within the site, by the site's own policy, so a page leads
/// there.
#[derive(Template)]
#[template(path = "oidc_continue.html")]
struct ContinuePage {
    frame: Frame,
    label: String,
    /// The address at the provider.
    provider_url: String,
}

#[derive(Deserialize)]
pub struct Confirmed {
    current_password: String,
}

async fn link_page(call: &Call, problems: Problems) -> Result<ConfirmPage> {
    let provider = provider_of(call).await?;
    let (frame, ()) = frame(call, |_, _| Ok(())).await?;
    let (label, action) = (provider.config().label().to_owned(), address::identity_link(&provider.config().name));
    Ok(ConfirmPage { frame, problems, label, identity: None, action })
}

/// `GET /user/settings/security/identities/{provider}/link`.
pub async fn link_form(call: Call) -> Result<Reply> {
    Reply::page(&link_page(&call, Problems::default()).await?)
}

/// `POST /user/settings/security/identities/{provider}/link`: leads to the provider. The account is linked on the way
/// back.
pub async fn link(call: Call, form: Protected<Confirmed>) -> Result<Reply> {
    let fields = form.read(&call).await?;
    let provider = provider_of(&call).await?;
    if let Err(error) = confirm::password(&call, &fields.current_password).await {
        let page = link_page(&call, Problems::of(error, confirm::FIELD)?).await?;
        return page.problems.reply(&page);
    }
    let session = own_session(&call).await?;
    match depart(&call, &provider, Purpose::Link(session.to_string()), SECURITY.to_owned()).await? {
        Some((provider_url, cookie)) => {
            let (frame, ()) = frame(&call, |_, _| Ok(())).await?;
            let page = ContinuePage { frame, label: provider.config().label().to_owned(), provider_url };
            Ok(Reply::page(&page)?.cookie(cookie))
        }
        None => Ok(Reply::to(SECURITY).tell(&call.app, &unreachable_notice(&provider))),
    }
}

async fn unlink_page(call: &Call, problems: Problems) -> Result<ConfirmPage> {
    let id = IdentityId(call.part("identity", What::Identity).await?);
    let (frame, identity) = frame(call, move |conn, caller| {
        let own = identities::list(conn, caller.signed_in()?.id)?;
        own.into_iter().find(|identity| identity.id == id).ok_or(Error::NotFound(What::Identity))
    })
    .await?;
    let label = label(call, &identity);
    Ok(ConfirmPage { frame, problems, label, identity: Some(identity), action: address::identity_unlink(id) })
}

/// What people call the provider of an identity, which may no longer be configured.
pub(in crate::web) fn label(call: &Call, identity: &Identity) -> String {
    let provider = call.app.oidc.of_issuer(&identity.issuer);
    provider.map_or_else(|| identity.provider.clone(), |provider| provider.config().label().to_owned())
}

/// `GET /user/settings/security/identities/{identity}/unlink`.
pub async fn unlink_form(call: Call) -> Result<Reply> {
    Reply::page(&unlink_page(&call, Problems::default()).await?)
}

/// `POST /user/settings/security/identities/{identity}/unlink`.
pub async fn unlink(call: Call, form: Protected<Confirmed>) -> Result<Reply> {
    let id = IdentityId(call.part("identity", What::Identity).await?);
    let fields = form.read(&call).await?;
    let (now, open) = (call.app.clock.now(), call.app.open_ways());
    let removal = async {
        confirm::password(&call, &fields.current_password).await?;
        call.writing(move |conn, caller| {
            let right = can_change_own(conn, caller)?;
            identities::unlink(conn, caller, &right, (id, &open), now)
        })
        .await
    };
    match removal.await {
        Ok(_) => Ok(Reply::to(SECURITY).notice(&call.app, "Unlinked. You can no longer sign in with that account.")),
        Err(error) => {
            let page = unlink_page(&call, Problems::of(error, confirm::FIELD)?).await?;
            page.problems.reply(&page)
        }
    }
}
