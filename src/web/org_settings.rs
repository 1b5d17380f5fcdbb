//! Organization settings for its owners: profile, renaming and deleting.

use super::forms::Protected;
use super::orgs::{VISIBILITIES, lines};
use super::owner::Owner;
use super::page::{Frame, Reply, frame};
use super::problems::Problems;
use crate::auth::call::Call;
use crate::auth::confirm;
use crate::db::Connection;
use crate::domain::address;
use crate::domain::names::OwnerName;
use crate::domain::role::Visibility;
use crate::error::{Error, Result, What};
use crate::registry::access::can_govern;
use crate::registry::caller::Caller;
use crate::registry::owners::namespace::OwnerEdit;
use crate::registry::owners::orgs::{self, Holdings, Org};
use askama::Template;
use serde::Deserialize;

#[derive(Template)]
#[template(path = "org_settings.html")]
struct SettingsPage {
    frame: Frame,
    owner: Owner,
    holdings: Holdings,
    profile: ProfileForm,
    /// The new name as typed, and the name typed to confirm deleting.
    renaming: String,
    deleting: String,
    problems: Problems,
    visibilities: [(Visibility, &'static str, &'static str); 3],
}

/// The profile form as typed.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct ProfileForm {
    full_name: String,
    description: String,
    website: String,
    location: String,
    visibility: String,
}

impl ProfileForm {
    fn of(org: &Org) -> Self {
        Self {
            full_name: org.full_name.clone(),
            description: org.profile.description.clone(),
            website: org.profile.website.clone(),
            location: org.profile.location.clone(),
            visibility: org.visibility.to_string(),
        }
    }

    fn read(&self, problems: &mut Problems) -> Option<OwnerEdit> {
        let full_name = problems.take("full_name", self.full_name.trim().parse());
        let description = problems.take("description", lines(&self.description).parse());
        let website = problems.take("website", self.website.trim().parse());
        let location = problems.take("location", self.location.trim().parse());
        let visibility = problems.take("visibility", self.visibility.parse());
        Some(OwnerEdit {
            full_name: Some(full_name?),
            description: Some(description?),
            website: Some(website?),
            location: Some(location?),
            visibility: Some(visibility?),
        })
    }
}

/// The input of one of the page's forms, to show it again.
#[derive(Default)]
struct Typed {
    profile: Option<ProfileForm>,
    renaming: Option<String>,
    deleting: String,
    problems: Problems,
}

async fn page(call: &Call, name: &OwnerName, typed: Typed) -> Result<Reply> {
    let name = name.clone();
    let load = move |conn: &mut Connection, caller: &Caller| {
        let right = can_govern(conn, caller, &name)?;
        let org = orgs::find(conn, right.org().id)?.ok_or(Error::NotFound(What::Organization))?;
        Ok((Owner::of(conn, caller, right.org())?, org, orgs::holdings(conn, &right)?))
    };
    let (frame, (owner, org, holdings)) = frame(call, load).await?;
    let page = SettingsPage {
        frame,
        owner,
        holdings,
        profile: typed.profile.unwrap_or_else(|| ProfileForm::of(&org)),
        renaming: typed.renaming.unwrap_or_else(|| org.name.to_string()),
        deleting: typed.deleting,
        visibilities: VISIBILITIES,
        problems: typed.problems,
    };
    if page.problems.is_empty() { Reply::page(&page) } else { page.problems.reply(&page) }
}

/// `GET /org/{org}/settings`.
pub async fn show(call: Call) -> Result<Reply> {
    let name: OwnerName = call.part("org", What::Organization).await?;
    page(&call, &name, Typed::default()).await
}

/// `POST /org/{org}/settings`.
pub async fn update(call: Call, form: Protected<ProfileForm>) -> Result<Reply> {
    let name: OwnerName = call.part("org", What::Organization).await?;
    let form = form.read(&call).await?;
    let mut problems = Problems::default();
    let Some(edit) = form.read(&mut problems) else {
        return page(&call, &name, Typed { profile: Some(form), problems, ..Typed::default() }).await;
    };
    let now = call.app.clock.now();
    let governed = name.clone();
    call.writing(move |conn, caller| {
        let right = can_govern(conn, caller, &governed)?;
        orgs::update(conn, caller, &right, &edit, now)
    })
    .await?;
    Ok(Reply::to(&address::org_settings(&name)).notice(&call.app, "Profile saved."))
}

/// Checks the password typed to confirm, and adds a problem beside its field if it is wrong.
async fn is_confirmed(call: &Call, typed: &str, field: &'static str, problems: &mut Problems) -> Result<bool> {
    match confirm::password(call, typed).await {
        Ok(()) => Ok(true),
        Err(error) => {
            *problems = Problems::of_rule(error, field)?;
            Ok(false)
        }
    }
}

/// The form that renames the organization.
#[derive(Deserialize)]
pub struct Renaming {
    name: String,
    current_password: String,
}

/// `POST /org/{org}/settings/rename`.
pub async fn rename(call: Call, form: Protected<Renaming>) -> Result<Reply> {
    let name: OwnerName = call.part("org", What::Organization).await?;
    let form = form.read(&call).await?;
    let governed = name.clone();
    call.admit(move |conn, caller| can_govern(conn, caller, &governed).map(drop)).await?;
    let mut problems = Problems::default();
    let to: Option<OwnerName> = problems.take("rename", form.name.trim().parse());
    if let Some(to) = to.filter(|_| problems.is_empty())
        && is_confirmed(&call, &form.current_password, "rename_password", &mut problems).await?
    {
        let now = call.app.clock.now();
        let (governed, new) = (name.clone(), to.clone());
        let renamed = call.writing(move |conn, caller| {
            let right = can_govern(conn, caller, &governed)?;
            orgs::rename(conn, caller, &right, &new, now)
        });
        match renamed.await {
            Ok(()) => {
                let notice = format!("{name} has been renamed to {to}.");
                return Ok(Reply::to(&address::org_settings(&to)).notice(&call.app, &notice));
            }
            Err(error) => problems = Problems::of_rule(error, "rename")?,
        }
    }
    page(&call, &name, Typed { renaming: Some(form.name), problems, ..Typed::default() }).await
}

/// The form that deletes the organization.
#[derive(Deserialize)]
pub struct Deletion {
    name: String,
    current_password: String,
}

/// `POST /org/{org}/settings/delete`.
pub async fn delete(call: Call, form: Protected<Deletion>) -> Result<Reply> {
    let name: OwnerName = call.part("org", What::Organization).await?;
    let form = form.read(&call).await?;
    let governed = name.clone();
    call.admit(move |conn, caller| can_govern(conn, caller, &governed).map(drop)).await?;
    let mut problems = Problems::default();
    if form.name.trim().to_lowercase() != name.lower() {
        problems.add("delete", &format!("this is not the organization's name: type {name} to confirm"));
    } else if is_confirmed(&call, &form.current_password, "delete_password", &mut problems).await? {
        let now = call.app.clock.now();
        let governed = name.clone();
        let deleted = call.writing(move |conn, caller| {
            let right = can_govern(conn, caller, &governed)?;
            orgs::delete(conn, caller, &right, now)
        });
        match deleted.await {
            Ok(()) => {
                let notice = format!("Organization {name} deleted.");
                return Ok(Reply::to("/user/settings/organizations").notice(&call.app, &notice));
            }
            Err(error) => problems = Problems::of_rule(error, "delete")?,
        }
    }
    page(&call, &name, Typed { deleting: form.name, problems, ..Typed::default() }).await
}
