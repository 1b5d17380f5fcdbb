//! Creating an organization, and the list of the user's organizations. The settings are in [`super::org_settings`].

use super::forms::Protected;
use super::list::{Pager, slice};
use super::page::{Frame, Reply, frame};
use super::problems::Problems;
use crate::auth::call::Call;
use crate::domain::address;
use crate::domain::ids::OwnerId;
use crate::domain::role::{Permission, Visibility};
use crate::error::Result;
use crate::registry::owners::org_creation::{self, NewOrg};
use crate::registry::owners::orgs::{self, Org};
use askama::Template;
use serde::Deserialize;
use std::collections::HashSet;

/// A visibility, with its label and meaning.
pub(super) const VISIBILITIES: [(Visibility, &str, &str); 3] = [
    (Visibility::Public, "Public", "Anyone can see the organization and download its packages."),
    (Visibility::Limited, "Limited", "Any signed-in user can see the organization and download its packages."),
    (Visibility::Private, "Private", "Only members and administrators can see the organization and its packages."),
];

#[derive(Template)]
#[template(path = "org_create.html")]
struct CreatePage {
    frame: Frame,
    form: Creation,
    problems: Problems,
    visibilities: [(Visibility, &'static str, &'static str); 3],
}

/// The form as typed.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Creation {
    name: String,
    full_name: String,
    description: String,
    visibility: String,
}

impl Creation {
    fn read(&self, problems: &mut Problems) -> Option<NewOrg> {
        let name = problems.take("name", self.name.trim().parse());
        let full_name = problems.take("full_name", self.full_name.trim().parse());
        let description = problems.take("description", lines(&self.description).parse());
        let visibility = problems.take("visibility", self.visibility.parse());
        Some(NewOrg {
            name: name?,
            full_name: full_name?,
            description: description?,
            website: Default::default(),
            location: Default::default(),
            visibility: visibility?,
        })
    }
}

/// Text from a text area, with line ends converted from CRLF to LF.
pub(super) fn lines(text: &str) -> String {
    text.trim().replace("\r\n", "\n")
}

/// `GET /org/create`.
pub async fn create_form(call: Call) -> Result<Reply> {
    let (frame, ()) = frame(&call, |_, caller| org_creation::demand_create(caller).map(drop)).await?;
    let form = Creation { visibility: Visibility::Public.to_string(), ..Creation::default() };
    Reply::page(&CreatePage { frame, form, problems: Problems::default(), visibilities: VISIBILITIES })
}

/// `POST /org/create`.
pub async fn create(call: Call, form: Protected<Creation>) -> Result<Reply> {
    let form = form.read(&call).await?;
    let mut problems = Problems::default();
    if let Some(new) = form.read(&mut problems) {
        let now = call.app.clock.now();
        let name = new.name.clone();
        match call.writing(move |conn, caller| org_creation::create(conn, caller, &new, now)).await {
            Ok(_) => {
                let notice = format!("Organization {name} created.");
                return Ok(Reply::to(&address::owner_page(&name)).notice(&call.app, &notice));
            }
            Err(error) => problems = Problems::of_rule(error, "name")?,
        }
    }
    let (frame, ()) = frame(&call, |_, caller| org_creation::demand_create(caller).map(drop)).await?;
    let page = CreatePage { frame, form, problems, visibilities: VISIBILITIES };
    page.problems.reply(&page)
}

#[derive(Template)]
#[template(path = "user_orgs.html")]
struct OwnPage {
    frame: Frame,
    orgs: Vec<(Org, Permission)>,
    /// Those that the user can't leave, because nobody else owns them.
    only_owned: HashSet<OwnerId>,
    pager: Pager,
}

/// `GET /user/settings/organizations`.
pub async fn own(call: Call) -> Result<Reply> {
    let wanted = slice(&call.req);
    let (frame, (page, only_owned)) = frame(&call, move |conn, caller| {
        let page = orgs::of_caller(conn, caller, wanted)?;
        let ids: Vec<OwnerId> = page.items.iter().map(|(org, _)| org.id).collect();
        let only_owned = orgs::only_owned_by(conn, caller.signed_in()?.id, &ids)?;
        Ok((page, only_owned))
    })
    .await?;
    let pager = Pager::new(&call.req, page.total);
    Reply::page(&OwnPage { frame, orgs: page.items, only_owned, pager })
}
