//! The visibility of a package: a form on the page of its settings.

use super::forms::Protected;
use super::page::Reply;
use crate::auth::call::Call;
use crate::db::Connection;
use crate::domain::address;
use crate::domain::names::{OwnerName, PackageName};
use crate::domain::package_access::PackageVisibility;
use crate::domain::role::{Permission, UnknownWord, Visibility};
use crate::error::{Error, Result, What};
use crate::registry::access::{CanPublish, can_publish};
use crate::registry::packages::visibility;
use serde::Deserialize;

/// The form, with the choices that the reader has.
pub struct VisibilityForm {
    /// The values, their names and their meanings.
    pub choices: Vec<(String, &'static str, String)>,
    pub chosen: &'static str,
}

const WIDER: &str = " This is more visible than the owner.";

impl VisibilityForm {
    /// The form for a package; `None` for a reader who may not change it.
    ///
    /// # Errors
    /// As [`visibility::own`].
    pub fn of(conn: &mut Connection, right: &CanPublish) -> Result<Option<Self>> {
        if right.permission() < Permission::Admin {
            return Ok(None);
        }
        let chosen = PackageVisibility::from(visibility::own(conn, right)?).as_str();
        let owner = right.owner();
        let inherit = format!("Visible to everyone who sees {}, which is {}.", owner.name, owner.visibility);
        let mut choices = vec![(PackageVisibility::Inherit.to_string(), "Same as the owner", inherit)];
        let all = [
            (Visibility::Public, "Public", "Anyone can see and download the package."),
            (Visibility::Limited, "Limited", "Any signed-in user can see and download the package."),
            (Visibility::Private, "Private", "Only the owner, its members, and everyone with a grant can see it."),
        ];
        for (value, label, meaning) in all {
            let wider = value < owner.visibility;
            if !wider || right.permission() >= Permission::Owner || value.as_str() == chosen {
                let more = if wider { WIDER } else { "" };
                choices.push((value.to_string(), label, format!("{meaning}{more}")));
            }
        }
        Ok(Some(Self { choices, chosen }))
    }
}

/// The visibility that was chosen.
#[derive(Deserialize)]
pub struct Chosen {
    visibility: String,
}

/// `POST /{owner}/-/packages/settings/generic/{name}/visibility`.
pub async fn set(call: Call, form: Protected<Chosen>) -> Result<Reply> {
    let owner: OwnerName = call.part("owner", What::Owner).await?;
    call.about(&owner);
    let name: PackageName = call.part("name", What::Package).await?;
    let typed = form.read(&call).await?.visibility;
    let (asked, package, now) = (owner.clone(), name.clone(), call.app.clock.now());
    call.writing(move |conn, caller| {
        let right = can_publish(conn, caller, &asked, &package)?;
        let to: PackageVisibility =
            typed.parse().map_err(|error: UnknownWord| Error::invalid("visibility", error.to_string()))?;
        visibility::set(conn, caller, &right, to.own(), now)
    })
    .await?;
    Ok(Reply::to(&address::package_settings(&owner, &name)).notice(&call.app, "Visibility saved."))
}
