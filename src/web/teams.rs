//! The teams of an organization: the list, and the page of each team.

use super::forms::Protected;
use super::list::{Pager, query, slice};
use super::login::Nothing;
use super::orgs::lines;
use super::owner::Owner;
use super::page::{Frame, Reply, frame};
use super::problems::Problems;
use crate::auth::call::Call;
use crate::db::Connection;
use crate::domain::address;
use crate::domain::names::OwnerName;
use crate::domain::role::{PackagePattern, Permission};
use crate::domain::text::TeamName;
use crate::error::{Error, Result, What};
use crate::registry::access::{CanGovern, can_govern, can_inspect};
use crate::registry::accounts::users::{self, User};
use crate::registry::caller::Caller;
use crate::registry::owners::members::{self, MembersOf};
use crate::registry::owners::teams::{self, Counted, NewTeam, Team, TeamEdit, TeamPackages};
use crate::registry::pages::Slice;
use askama::Template;
use serde::Deserialize;

/// A role, with its label and meaning.
type Choice = (Permission, &'static str, &'static str);

/// The roles a team can give, with label and meaning.
const PERMISSIONS: [Choice; 4] = [
    (Permission::Read, "Read", "Can see the organization, its teams and members, and download its packages."),
    (Permission::Write, "Write", "Can read, publish and delete packages."),
    (Permission::Admin, "Admin", "Can also change the visibility of packages."),
    (Permission::Owner, "Owner", "Full control of the organization."),
];

/// How many usernames are suggested while typing.
const SUGGESTIONS: i64 = 8;

/// The address of a team's page.
pub(super) fn url(org: &OwnerName, team: &Team) -> String {
    address::org_team(org, &team.name, team.id)
}

#[derive(Template)]
#[template(path = "teams.html")]
struct TeamsPage {
    frame: Frame,
    owner: Owner,
    teams: Vec<Counted>,
    pager: Pager,
    form: TeamForm,
    problems: Problems,
    permissions: &'static [Choice],
}

impl TeamsPage {
    fn team_url(&self, team: &Team) -> String {
        url(&self.owner.name, team)
    }
}

/// The form that creates or changes a team, as typed.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct TeamForm {
    name: String,
    description: String,
    permission: String,
    packages: String,
}

impl TeamForm {
    /// The packages that the team is limited to.
    fn packages(&self) -> Result<Option<TeamPackages>, String> {
        let patterns = self.packages.split(|c: char| c.is_whitespace() || c == ',').filter(|text| !text.is_empty());
        let patterns: Result<Vec<PackagePattern>, _> = patterns.map(str::parse).collect();
        TeamPackages::new(patterns.map_err(|error| error.to_string())?).map_err(|error| error.to_string())
    }
}

async fn list_page(call: &Call, org: &OwnerName, form: TeamForm, problems: Problems) -> Result<Reply> {
    let (org, wanted) = (org.clone(), slice(&call.req));
    let posted = !problems.is_empty();
    let load = move |conn: &mut Connection, caller: &Caller| {
        if posted {
            can_govern(conn, caller, &org)?;
        }
        let right = can_inspect(conn, caller, &org)?;
        Ok((Owner::of(conn, caller, right.org())?, teams::overview(conn, caller, &right, wanted)?))
    };
    let (frame, (owner, page)) = frame(call, load).await?;
    let pager = Pager::new(&call.req, page.total);
    let page = TeamsPage { frame, owner, teams: page.items, pager, form, problems, permissions: &PERMISSIONS };
    if posted { page.problems.reply(&page) } else { Reply::page(&page) }
}

/// `GET /org/{org}/teams`.
pub async fn list(call: Call) -> Result<Reply> {
    let org: OwnerName = call.part("org", What::Organization).await?;
    let form = TeamForm { permission: Permission::Read.to_string(), ..TeamForm::default() };
    list_page(&call, &org, form, Problems::default()).await
}

/// `POST /org/{org}/teams`.
pub async fn create(call: Call, form: Protected<TeamForm>) -> Result<Reply> {
    let org: OwnerName = call.part("org", What::Organization).await?;
    let form = form.read(&call).await?;
    let mut problems = Problems::default();
    let name = problems.take("name", form.name.trim().parse());
    let description = problems.take("description", lines(&form.description).parse());
    let permission = problems.take("permission", form.permission.parse());
    let packages = problems.take("packages", form.packages());
    if let (Some(name), Some(description), Some(permission), Some(packages)) = (name, description, permission, packages)
    {
        let new = NewTeam { name, description, permission, packages };
        let now = call.app.clock.now();
        let governed = org.clone();
        let made = call.writing(move |conn, caller| {
            let right = can_govern(conn, caller, &governed)?;
            teams::create(conn, caller, &right, &new, now)
        });
        match made.await {
            Ok(team) => {
                let notice = format!("Team {} created. Add members.", team.name);
                return Ok(Reply::to(&url(&org, &team)).notice(&call.app, &notice));
            }
            Err(error) => problems = Problems::of_rule(error, "name")?,
        }
    }
    list_page(&call, &org, form, problems).await
}

#[derive(Template)]
#[template(path = "team.html")]
struct TeamPage {
    frame: Frame,
    owner: Owner,
    team: Team,
    members: Vec<User>,
    pager: Pager,
    form: TeamForm,
    /// The username typed into the form, and the users that match it.
    who: String,
    found: Vec<User>,
    problems: Problems,
    permissions: &'static [Choice],
}

impl TeamPage {
    fn url(&self) -> String {
        url(&self.owner.name, &self.team)
    }

    fn deletion_url(&self) -> String {
        address::org_team_deletion(&self.owner.name, &self.team.name, self.team.id)
    }

    fn members_url(&self) -> String {
        address::org_team_members(&self.owner.name, &self.team.name, self.team.id)
    }

    fn removal_url(&self, user: &OwnerName) -> String {
        address::org_team_member_removal(&self.owner.name, &self.team.name, self.team.id, user)
    }

    /// The team's role, with label and meaning.
    fn right(&self) -> &'static Choice {
        let [read, ..] = &PERMISSIONS;
        PERMISSIONS.iter().find(|(permission, ..)| *permission == self.team.permission).unwrap_or(read)
    }
}

/// The input of the page's forms, to show it again.
#[derive(Default)]
struct Typed {
    form: Option<TeamForm>,
    who: Option<String>,
    problems: Problems,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Query {
    who: String,
}

async fn team_page(call: &Call, typed: Typed) -> Result<Reply> {
    let (org, called) = names(call).await?;
    let wanted = slice(&call.req);
    let who = typed.who.unwrap_or_else(|| query::<Query>(&call.req).who);
    let (posted, part) = (!typed.problems.is_empty(), who.trim().to_owned());
    let load = move |conn: &mut Connection, caller: &Caller| {
        let right = can_inspect(conn, caller, &org)?;
        if posted {
            can_govern(conn, caller, &org)?;
        }
        let team = teams::find_in(conn, right.org().id, &called)?;
        let owner = Owner::of(conn, caller, right.org())?;
        let members = members::list(conn, caller, &right, MembersOf::Team(team.id), wanted)?;
        let suggested = Slice { offset: 0, limit: SUGGESTIONS };
        let found = match owner.can_govern() && !part.is_empty() {
            true => users::search(conn, caller, &part, None, suggested)?.items,
            false => Vec::new(),
        };
        Ok((owner, team, members, found))
    };
    let (frame, (owner, team, members, found)) = frame(call, load).await?;
    let form = typed.form.unwrap_or_else(|| TeamForm {
        name: team.name.clone(),
        description: team.description.clone(),
        permission: team.permission.to_string(),
        packages: team.package_patterns.as_deref().unwrap_or_default().join(" "),
    });
    let page = TeamPage {
        pager: Pager::new(&call.req, members.total),
        members: members.items,
        problems: typed.problems,
        permissions: &PERMISSIONS,
        frame,
        owner,
        team,
        form,
        who,
        found,
    };
    if posted { page.problems.reply(&page) } else { Reply::page(&page) }
}

async fn names(call: &Call) -> Result<(OwnerName, TeamName)> {
    Ok((call.part("org", What::Organization).await?, call.part("team", What::Team).await?))
}

/// `GET /org/{org}/teams/{team}`.
pub async fn show(call: Call) -> Result<Reply> {
    team_page(&call, Typed::default()).await
}

/// Runs a change of the team in the path, if the user may change the organization.
async fn change<T: Send + 'static>(
    call: &Call,
    mut work: impl FnMut(&mut Connection, &Caller, &CanGovern, &Team) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (org, called) = names(call).await?;
    call.writing(move |conn, caller| {
        let right = can_govern(conn, caller, &org)?;
        let team = teams::find_in(conn, right.org().id, &called)?;
        work(conn, caller, &right, &team)
    })
    .await
}

/// `POST /org/{org}/teams/{team}`.
pub async fn update(call: Call, form: Protected<TeamForm>) -> Result<Reply> {
    let (org, _) = names(&call).await?;
    let form = form.read(&call).await?;
    let mut problems = Problems::default();
    let name = problems.take("name", form.name.trim().parse());
    let description = problems.take("description", lines(&form.description).parse());
    let permission = problems.take("permission", form.permission.parse());
    let packages = problems.take("packages", form.packages());
    if problems.is_empty() {
        let edit = TeamEdit { name, description, permission, packages };
        let now = call.app.clock.now();
        let changed =
            change(&call, move |conn, caller, right, team| teams::update(conn, caller, right, team, &edit, now));
        match changed.await {
            Ok(team) => return Ok(Reply::to(&url(&org, &team)).notice(&call.app, "Team saved.")),
            Err(error) => problems = Problems::of_rule(error, "name")?,
        }
    }
    team_page(&call, Typed { form: Some(form), problems, who: None }).await
}

/// `POST /org/{org}/teams/{team}/delete`.
pub async fn delete(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    let (org, _) = names(&call).await?;
    form.read(&call).await?;
    let now = call.app.clock.now();
    let deleted = change(&call, move |conn, caller, right, team| {
        teams::delete(conn, caller, right, team, now)?;
        Ok(team.name.clone())
    });
    match deleted.await {
        Ok(name) => {
            let notice = format!("Team {name} deleted.");
            Ok(Reply::to(&address::org_teams(&org)).notice(&call.app, &notice))
        }
        Err(error) => refused(&call, error).await,
    }
}

/// Shows the page again with the problems.
async fn refused(call: &Call, error: Error) -> Result<Reply> {
    let problems = Problems::of_rule(error, "form")?;
    team_page(call, Typed { problems, ..Typed::default() }).await
}

/// The form that adds a member.
#[derive(Deserialize)]
pub struct Newcomer {
    user: String,
}

/// `POST /org/{org}/teams/{team}/members`.
pub async fn add_member(call: Call, form: Protected<Newcomer>) -> Result<Reply> {
    let (org, _) = names(&call).await?;
    let form = form.read(&call).await?;
    let mut problems = Problems::default();
    if let Some(user) = problems.take("user", form.user.trim().parse::<OwnerName>()) {
        let now = call.app.clock.now();
        let newcomer = user.clone();
        let added = change(&call, move |conn, caller, right, team| {
            members::add(conn, caller, right, team, &newcomer, now)?;
            Ok(team.clone())
        });
        match added.await {
            Ok(team) => {
                let notice = format!("Added {user} to {}.", team.name);
                return Ok(Reply::to(&url(&org, &team)).notice(&call.app, &notice));
            }
            Err(Error::NotFound(What::User)) => problems.add("user", "no user has this name: check the spelling"),
            Err(error) => problems = Problems::of_rule(error, "user")?,
        }
    }
    team_page(&call, Typed { who: Some(form.user), problems, form: None }).await
}

/// `POST /org/{org}/teams/{team}/members/{user}/remove`.
pub async fn remove_member(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    let (org, _) = names(&call).await?;
    let user: OwnerName = call.part("user", What::User).await?;
    form.read(&call).await?;
    let now = call.app.clock.now();
    let member = user.clone();
    let removed = change(&call, move |conn, caller, right, team| {
        members::remove(conn, caller, right, team, &member, now)?;
        Ok(team.clone())
    });
    match removed.await {
        Ok(team) => {
            let notice = format!("Removed {user} from {}.", team.name);
            // Users who left their last team can no longer see the organization's teams.
            let next = call.reading({
                let org = org.clone();
                move |conn, caller| Ok(can_inspect(conn, caller, &org).is_ok())
            });
            let next = if next.await? { url(&org, &team) } else { "/user/settings/organizations".to_owned() };
            Ok(Reply::to(&next).notice(&call.app, &notice))
        }
        Err(error) => refused(&call, error).await,
    }
}
