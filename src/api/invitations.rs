//! Invitations, for administrators: users who choose their own password with a link in their mail.

use super::endpoint::{Created, Json, JsonBody, NoContent};
use super::fields::{given, given_schema};
use super::users::UserBody;
use crate::auth::call::Call;
use crate::domain::clock::Timestamp;
use crate::domain::mail::LinkKind;
use crate::domain::names::{Email, OwnerName};
use crate::domain::role::{Level, Visibility};
use crate::domain::text::Line;
use crate::error::{Error, Result, What};
use crate::mailer::is_deliverable;
use crate::registry::access::can_administer;
use crate::registry::accounts::email_links;
use crate::registry::accounts::invitations;
use crate::registry::accounts::users::{self, NewUser};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The body of `POST /admin/invitations`.
#[derive(Deserialize, ToSchema)]
pub struct CreateInvitation {
    username: OwnerName,
    /// The link is sent there, and the user can sign in with it.
    email: Email,
    full_name: Option<Line>,
    #[serde(default, deserialize_with = "given")]
    #[schema(schema_with = given_schema::<Visibility>)]
    visibility: Option<Visibility>,
}

/// An invitation that was sent and not used yet.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Invitation)]
pub struct InvitationBody {
    /// The address it was sent to.
    email: String,
    created_at: Timestamp,
    expires_at: Timestamp,
}

/// `POST /admin/invitations`.
pub async fn create(call: Call, body: JsonBody<CreateInvitation>) -> Result<Created<UserBody>> {
    call.admit(|_, caller| caller.demand_any_owner()).await?;
    let body = body.read(&call.app).await?;
    call.app.allow_mail()?;
    if !is_deliverable(body.email.as_str()) {
        return Err(Error::invalid("email", "email: no mail can be sent to this address: check its spelling"));
    }
    let new = NewUser {
        password_hash: None,
        full_name: body.full_name.map_or_else(String::new, Line::into),
        visibility: body.visibility.unwrap_or(Visibility::Public),
        is_admin: false,
        must_change_password: false,
        name: body.username,
        email: body.email,
    };
    let (now, key) = (call.app.clock.now(), call.app.key.clone());
    let user = call
        .writing(move |conn, caller| {
            invitations::create(conn, caller, (&new, &key), now)?;
            users::find(conn, &new.name)?.ok_or(Error::NotFound(What::User))
        })
        .await?;
    Ok(Created(UserBody::new(&call.app, user)))
}

/// `GET /admin/users/{user}/invitation`.
pub async fn get(call: Call) -> Result<Json<InvitationBody>> {
    let name: OwnerName = call.part("user", What::User).await?;
    let now = call.app.clock.now();
    let link = call
        .reading(move |conn, caller| {
            caller.demand_admin(Level::Read)?;
            let user = users::see(conn, caller, &name)?;
            let link = email_links::pending(conn, user.id, LinkKind::Invitation, now)?;
            link.ok_or(Error::NotFound(What::Invitation))
        })
        .await?;
    Ok(Json(InvitationBody { email: link.email, created_at: link.created_at, expires_at: link.expires_at }))
}

/// `POST /admin/users/{user}/invitation`.
pub async fn resend(call: Call) -> Result<NoContent> {
    let name: OwnerName = call.part("user", What::User).await?;
    let (now, key, allowed) = (call.app.clock.now(), call.app.key.clone(), call.app.sends_mail());
    call.writing(move |conn, caller| {
        let right = can_administer(conn, caller, &name)?;
        if !allowed {
            return Err(Error::Forbidden(crate::state::NO_MAIL.to_owned()));
        }
        invitations::resend(conn, caller, &right, &key, now)
    })
    .await?;
    Ok(NoContent)
}

/// `DELETE /admin/users/{user}/invitation`.
pub async fn withdraw(call: Call) -> Result<NoContent> {
    let name: OwnerName = call.part("user", What::User).await?;
    let now = call.app.clock.now();
    call.writing(move |conn, caller| {
        let right = can_administer(conn, caller, &name)?;
        invitations::withdraw(conn, caller, &right, now)
    })
    .await?;
    Ok(NoContent)
}
