//! The members of an organization, and leaving it.

use super::forms::Protected;
use super::list::{Pager, query, slice};
use super::login::Nothing;
use super::owner::Owner;
use super::page::{Frame, Reply, frame};
use super::problems::Problems;
use super::quota::Standing;
use super::teams::url;
use crate::auth::call::Call;
use crate::db::Connection;
use crate::domain::address;
use crate::domain::ids::OwnerId;
use crate::domain::names::OwnerName;
use crate::domain::role::OwnerKind;
use crate::error::{Error, Result, What};
use crate::registry::access::{can_inspect, can_see_quota};
use crate::registry::caller::Caller;
use crate::registry::owners::members::{self, Seated};
use crate::registry::owners::orgs;
use crate::registry::owners::teams::{OWNERS, Team};
use crate::registry::packages::quotas;
use askama::Template;
use serde::Deserialize;

#[derive(Template)]
#[template(path = "members.html")]
struct MembersPage {
    frame: Frame,
    owner: Owner,
    members: Vec<Seated>,
    pager: Pager,
    q: String,
    only_owner: Option<OwnerId>,
    /// Whether the reader is a member.
    is_in: bool,
    quota: Standing,
}

impl MembersPage {
    fn team_url(&self, team: &Team) -> String {
        url(&self.owner.name, team)
    }

    fn is_only_owner(&self, member: &Seated) -> bool {
        self.only_owner == Some(member.user.id)
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Query {
    q: String,
}

/// `GET /org/{org}/members`.
pub async fn list(call: Call) -> Result<Reply> {
    let org: OwnerName = call.part("org", What::Organization).await?;
    let (wanted, q) = (slice(&call.req), query::<Query>(&call.req).q);
    let part = q.trim().to_owned();
    let load = move |conn: &mut Connection, caller: &Caller| {
        let right = can_inspect(conn, caller, &org)?;
        let quota = can_see_quota(conn, caller, &org, OwnerKind::Organization)?;
        let id = right.org().id;
        Ok((
            Owner::of(conn, caller, right.org())?,
            members::roster(conn, caller, &right, &part, wanted)?,
            orgs::only_owner(conn, id)?,
            members::is_in(conn, id, caller.signed_in()?.id)?,
            quotas::standing(conn, &quota)?,
        ))
    };
    let (frame, (owner, page, only_owner, is_in, standing)) = frame(&call, load).await?;
    let pager = Pager::new(&call.req, page.total);
    let quota = Standing::new(&call.app, standing);
    Reply::page(&MembersPage { frame, owner, members: page.items, pager, q, only_owner, is_in, quota })
}

#[derive(Template)]
#[template(path = "member_remove.html")]
struct RemovePage {
    frame: Frame,
    owner: Owner,
    member: Seated,
    is_only_owner: bool,
    problems: Problems,
}

impl RemovePage {
    fn team_url(&self, team: &Team) -> String {
        url(&self.owner.name, team)
    }

    fn owners_team_url(&self) -> String {
        address::org_team_named(&self.owner.name, OWNERS)
    }
}

async fn remove_page(call: &Call, problems: Problems) -> Result<Reply> {
    let (org, user): (OwnerName, OwnerName) = names(call).await?;
    let load = move |conn: &mut Connection, caller: &Caller| {
        let right = members::can_expel(conn, caller, &org, &user)?;
        let owner = Owner::of(conn, caller, right.org())?;
        let only = orgs::only_owner(conn, right.org().id)?;
        Ok((owner, right.member().clone(), only))
    };
    let (frame, (owner, member, only)) = frame(call, load).await?;
    let is_only_owner = only == Some(member.user.id);
    let page = RemovePage { frame, owner, member, is_only_owner, problems };
    if page.problems.is_empty() { Reply::page(&page) } else { page.problems.reply(&page) }
}

async fn names(call: &Call) -> Result<(OwnerName, OwnerName)> {
    Ok((call.part("org", What::Organization).await?, call.part("user", What::User).await?))
}

/// `GET /org/{org}/members/{user}/remove`: asks for confirmation.
pub async fn remove_form(call: Call) -> Result<Reply> {
    remove_page(&call, Problems::default()).await
}

/// `POST /org/{org}/members/{user}/remove`.
pub async fn remove(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    let (org, user) = names(&call).await?;
    form.read(&call).await?;
    let now = call.app.clock.now();
    let (from, member) = (org.clone(), user.clone());
    let removed = call.writing(move |conn, caller| {
        let right = members::can_expel(conn, caller, &from, &member)?;
        members::expel(conn, caller, &right, now)?;
        Ok(caller.user().is_some_and(|own| own.id == right.member().user.id))
    });
    match removed.await {
        Ok(true) => {
            let notice = format!("You have left {org}.");
            Ok(Reply::to("/user/settings/organizations").notice(&call.app, &notice))
        }
        Ok(false) => {
            let notice = format!("{user} is no longer a member of {org}.");
            Ok(Reply::to(&address::org_members(&org)).notice(&call.app, &notice))
        }
        Err(error @ Error::NotFound(_)) => Err(error),
        Err(error) => {
            let problems = Problems::of_rule(error, "form")?;
            remove_page(&call, problems).await
        }
    }
}
