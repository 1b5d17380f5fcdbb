//! The signed-in user's own account, as Gitea's clients ask for it. [`super::users`] has the user themselves.

use super::endpoint::{Json, Listed, Pages};
use super::users::own;
use crate::auth::call::Call;
use crate::domain::ids::OwnerId;
use crate::domain::names::OwnerName;
use crate::error::Result;
use crate::registry::pages::Page;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// An email address of the signed-in user.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EmailAddress)]
pub struct EmailBody {
    email: String,
    /// Whether the user may sign in with it: an administrator has set it, or the user followed a link.
    verified: bool,
    /// Always true: a user has one address.
    primary: bool,
    user_id: OwnerId,
    username: OwnerName,
}

/// `GET /user/emails`.
pub async fn emails(call: Call, pages: Pages) -> Result<Listed<EmailBody>> {
    let user = call.reading(own).await?;
    let items = if pages.slice().offset == 0 { vec![user] } else { Vec::new() };
    Ok(pages.answer(Page { items, total: 1 }, |user| EmailBody {
        email: user.email,
        verified: user.signs_in_by_email,
        primary: true,
        user_id: user.id,
        username: user.name,
    }))
}

/// The settings of the signed-in user, with Gitea's field names.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserSettings {
    full_name: String,
    website: String,
    description: String,
    location: String,
    /// Always empty: the pages are in English.
    language: String,
    /// Always empty: each browser has its own theme.
    theme: String,
    diff_view_style: String,
    /// Always true: other users never see an email address.
    hide_email: bool,
    hide_activity: bool,
}

/// `GET /user/settings`.
pub async fn settings(call: Call) -> Result<Json<UserSettings>> {
    let user = call.reading(own).await?;
    Ok(Json(UserSettings {
        full_name: user.full_name,
        website: user.profile.website,
        description: user.profile.description,
        location: user.profile.location,
        language: String::new(),
        theme: String::new(),
        diff_view_style: String::new(),
        hide_email: true,
        hide_activity: true,
    }))
}

/// `GET /user/keys` and `GET /user/repos`: always empty, because there are no Git repositories here, and nothing is
/// reached with SSH.
pub async fn none_of_own(call: Call, pages: Pages) -> Result<Listed<Value>> {
    call.reading(|_, caller| caller.signed_in().map(drop)).await?;
    Ok(pages.none())
}
