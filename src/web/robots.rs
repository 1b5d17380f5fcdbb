//! The robots of an organization: the list, and the page of each robot with its access and its tokens.

use super::access::PERMISSIONS;
use super::format::When;
use super::forms::Protected;
use super::list::{Pager, slice};
use super::login::Nothing;
use super::orgs::lines;
use super::owner::Owner;
use super::page::{Frame, Reply, frame};
use super::problems::Problems;
use super::token_new::{Draft, EXPIRIES, first_use};
use super::tokens::{self as token_lines, Line};
use crate::auth::call::Call;
use crate::auth::confirm;
use crate::db::Connection;
use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::domain::ids::{GrantId, TokenId};
use crate::domain::names::{OwnerName, RobotName};
use crate::domain::role::{Level, PackagePattern, Permission};
use crate::domain::secret::TokenSecret;
use crate::error::{Error, Result, What};
use crate::registry::access::{CanGovern, can_govern, can_oversee, can_share};
use crate::registry::caller::Caller;
use crate::registry::owners::grants::{self, Gift, Grant, NewGrantee};
use crate::registry::owners::robots::{self, Robot};
use crate::registry::pages::Slice;
use askama::Template;
use serde::Deserialize;

/// The form that creates a robot, or changes its description, as typed.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct RobotForm {
    name: String,
    description: String,
}

#[derive(Template)]
#[template(path = "robots.html")]
struct RobotsPage {
    frame: Frame,
    owner: Owner,
    robots: Vec<Robot>,
    pager: Pager,
    now: Timestamp,
    form: RobotForm,
    problems: Problems,
}

impl RobotsPage {
    fn robot_url(&self, robot: &Robot) -> String {
        address::org_robot(&self.owner.name, &robot.name)
    }

    fn used(&self, robot: &Robot) -> Option<When> {
        robot.last_used_at.map(|at| When { at, now: self.now })
    }
}

async fn list_page(call: &Call, org: OwnerName, form: RobotForm, problems: Problems) -> Result<Reply> {
    let (wanted, now) = (slice(&call.req), call.app.clock.now());
    let (frame, (owner, page)) = frame(call, move |conn, caller| {
        let right = can_oversee(conn, caller, &org)?;
        Ok((Owner::of(conn, caller, right.org())?, robots::list(conn, &right, wanted)?))
    })
    .await?;
    let pager = Pager::new(&call.req, page.total);
    let page = RobotsPage { frame, owner, robots: page.items, pager, now, form, problems };
    if page.problems.is_empty() { Reply::page(&page) } else { page.problems.reply(&page) }
}

/// `GET /org/{org}/robots`.
pub async fn list(call: Call) -> Result<Reply> {
    let org: OwnerName = call.part("org", What::Organization).await?;
    list_page(&call, org, RobotForm::default(), Problems::default()).await
}

/// `POST /org/{org}/robots`.
pub async fn create(call: Call, form: Protected<RobotForm>) -> Result<Reply> {
    let org: OwnerName = call.part("org", What::Organization).await?;
    let form = form.read(&call).await?;
    let mut problems = Problems::default();
    let name = problems.take("name", form.name.trim().parse::<RobotName>());
    let description = problems.take("description", lines(&form.description).parse());
    if let (Some(name), Some(description)) = (name, description) {
        let (of, now) = (org.clone(), call.app.clock.now());
        let made = call.writing(move |conn, caller| {
            let right = can_govern(conn, caller, &of)?;
            robots::create(conn, caller, &right, (&name, &description), now)
        });
        match made.await {
            Ok(robot) => {
                let notice = format!("Robot {} created. Give it access to packages, and a token.", robot.account);
                return Ok(Reply::to(&address::org_robot(&org, &robot.name)).notice(&call.app, &notice));
            }
            Err(error) => problems = Problems::of_rule(error, "name")?,
        }
    }
    list_page(&call, org, form, problems).await
}

/// The form that gives the robot access to packages, as typed.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct GrantForm {
    pattern: String,
    permission: String,
}

/// The input of the page's forms, to show it again.
#[derive(Default)]
struct Typed {
    grant: GrantForm,
    token: Draft,
    problems: Problems,
}

#[derive(Template)]
#[template(path = "robot.html")]
struct RobotPage {
    frame: Frame,
    owner: Owner,
    robot: Robot,
    grants: Vec<Grant>,
    lines: Vec<Line>,
    grant: GrantForm,
    token: Draft,
    problems: Problems,
    permissions: [(&'static str, &'static str); 3],
    /// Whether downloads can be redirected to the object store.
    may_redirect: bool,
}

impl RobotPage {
    fn url(&self) -> String {
        address::org_robot(&self.owner.name, &self.robot.name)
    }

    fn deletion_url(&self) -> String {
        address::org_robot_deletion(&self.owner.name, &self.robot.name)
    }

    fn grants_url(&self) -> String {
        address::org_robot_grants(&self.owner.name, &self.robot.name)
    }

    fn grant_deletion_url(&self, grant: &Grant) -> String {
        address::org_robot_grant_deletion(&self.owner.name, &self.robot.name, grant.id)
    }

    fn tokens_url(&self) -> String {
        address::org_robot_tokens(&self.owner.name, &self.robot.name)
    }

    fn revocation_url(&self, line: &Line) -> String {
        address::org_robot_token_revocation(&self.owner.name, &self.robot.name, line.token.id)
    }
}

async fn names(call: &Call) -> Result<(OwnerName, RobotName)> {
    Ok((call.part("org", What::Organization).await?, call.part("robot", What::Robot).await?))
}

async fn robot_page(call: &Call, typed: Typed) -> Result<Reply> {
    let (org, name) = names(call).await?;
    let now = call.app.clock.now();
    let load = move |conn: &mut Connection, caller: &Caller| {
        let right = can_govern(conn, caller, &org)?;
        let seen = can_oversee(conn, caller, &org)?;
        let robot = robots::get(conn, &seen, &name)?;
        let share = can_share(conn, caller, &org, Level::Read)?;
        let grants = grants::of_user(conn, &share, robot.id)?;
        let tokens = robots::list_tokens(conn, &right, &name, Slice::WHOLE)?.items;
        let lines = token_lines::lines(conn, tokens, now)?;
        Ok((Owner::of(conn, caller, right.org())?, robot, grants, lines))
    };
    let (frame, (owner, robot, grants, lines)) = frame(call, load).await?;
    let Typed { grant, token, problems } = typed;
    let permissions = PERMISSIONS;
    let may_redirect = call.app.config.store.may_redirect();
    let page = RobotPage { frame, owner, robot, grants, lines, grant, token, problems, permissions, may_redirect };
    if page.problems.is_empty() { Reply::page(&page) } else { page.problems.reply(&page) }
}

/// `GET /org/{org}/robots/{robot}`.
pub async fn show(call: Call) -> Result<Reply> {
    robot_page(&call, Typed::default()).await
}

/// Runs a change of the robot in the path, if the user may change the organization.
async fn change<T: Send + 'static>(
    call: &Call,
    mut work: impl FnMut(&mut Connection, &Caller, &CanGovern, &RobotName) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (org, name) = names(call).await?;
    call.writing(move |conn, caller| {
        let right = can_govern(conn, caller, &org)?;
        work(conn, caller, &right, &name)
    })
    .await
}

/// The page of the robot in the path.
async fn own_page(call: &Call) -> Result<String> {
    let (org, name) = names(call).await?;
    Ok(address::org_robot(&org, &name))
}

/// `POST /org/{org}/robots/{robot}`.
pub async fn update(call: Call, form: Protected<RobotForm>) -> Result<Reply> {
    let form = form.read(&call).await?;
    let now = call.app.clock.now();
    let mut problems = Problems::default();
    if let Some(description) = problems.take("description", lines(&form.description).parse()) {
        change(&call, move |conn, caller, right, name| {
            robots::update(conn, caller, right, (name, &description), now).map(drop)
        })
        .await?;
        return Ok(Reply::to(&own_page(&call).await?).notice(&call.app, "Robot saved."));
    }
    robot_page(&call, Typed { problems, ..Typed::default() }).await
}

/// The form that deletes a robot.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct DeletionForm {
    /// The robot's name, typed to confirm.
    confirm: String,
}

/// `POST /org/{org}/robots/{robot}/delete`.
pub async fn delete(call: Call, form: Protected<DeletionForm>) -> Result<Reply> {
    let (org, name) = names(&call).await?;
    let form = form.read(&call).await?;
    if form.confirm.trim().to_lowercase() != name.lower() {
        let problems = Problems::on("confirm", "this is not the robot's name: type its name to confirm");
        return robot_page(&call, Typed { problems, ..Typed::default() }).await;
    }
    let now = call.app.clock.now();
    change(&call, move |conn, caller, right, name| robots::delete(conn, caller, right, name, now)).await?;
    let notice = format!("Robot {org}/{name} deleted, with its tokens.");
    Ok(Reply::to(&address::org_robots(&org)).notice(&call.app, &notice))
}

/// `POST /org/{org}/robots/{robot}/grants`.
pub async fn create_grant(call: Call, form: Protected<GrantForm>) -> Result<Reply> {
    let (org, name) = names(&call).await?;
    let form = form.read(&call).await?;
    let mut problems = Problems::default();
    let pattern = problems.take("pattern", form.pattern.trim().parse::<PackagePattern>());
    let permission = problems.take("permission", form.permission.parse::<Permission>());
    if let (Some(pattern), Some(permission)) = (pattern, permission) {
        let now = call.app.clock.now();
        let made = call.writing(move |conn, caller| {
            let right = can_share(conn, caller, &org, Level::Write)?;
            let gift = Gift::new(pattern.clone(), permission)?;
            grants::create(conn, caller, &right, (&NewGrantee::Robot(name.clone()), &gift), now)
        });
        match made.await {
            Ok(grant) => {
                let notice = format!("{} now has access to {}.", grant.grantee, grant.pattern);
                return Ok(Reply::to(&own_page(&call).await?).notice(&call.app, &notice));
            }
            Err(Error::Conflict(_)) => problems.add("pattern", "the robot has access to these packages already"),
            Err(Error::Invalid { field: "robot", .. }) => return Err(Error::NotFound(What::Robot)),
            Err(error) => problems = Problems::of(error, "pattern")?,
        }
    }
    robot_page(&call, Typed { grant: form, problems, ..Typed::default() }).await
}

/// `POST /org/{org}/robots/{robot}/grants/{grant}/delete`.
pub async fn delete_grant(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    let (org, name) = names(&call).await?;
    let id = GrantId(call.part("grant", What::Grant).await?);
    form.read(&call).await?;
    let now = call.app.clock.now();
    call.writing(move |conn, caller| {
        let seen = can_oversee(conn, caller, &org)?;
        let robot = robots::get(conn, &seen, &name)?;
        let right = can_share(conn, caller, &org, Level::Write)?;
        if !grants::of_user(conn, &right, robot.id)?.iter().any(|grant| grant.id == id) {
            return Err(Error::NotFound(What::Grant));
        }
        grants::delete(conn, caller, &right, id, now)
    })
    .await?;
    Ok(Reply::to(&own_page(&call).await?).notice(&call.app, "Access removed."))
}

#[derive(Template)]
#[template(path = "robot_token.html")]
struct MadePage {
    frame: Frame,
    owner: Owner,
    robot: Robot,
    line: Line,
    secret: TokenSecret,
    /// A first use of the token, and the command for it.
    example: (&'static str, String),
}

impl MadePage {
    fn url(&self) -> String {
        address::org_robot(&self.owner.name, &self.robot.name)
    }
}

/// `POST /org/{org}/robots/{robot}/tokens`.
pub async fn create_token(call: Call, form: Protected<Draft>) -> Result<Reply> {
    let (org, name) = names(&call).await?;
    let draft = form.read(&call).await?;
    let now = call.app.clock.now();
    let problems = match draft.check(now) {
        Ok(new) => match confirm::password(&call, draft.password()).await {
            Ok(()) => {
                let made = change(&call, move |conn, caller, right, name| {
                    let (token, secret) = robots::create_token(conn, caller, right, (name, &new), now)?;
                    Ok((token_lines::line(conn, token, now)?, secret))
                });
                match made.await {
                    Ok((line, secret)) => return made_page(&call, (org, name), line, secret).await,
                    Err(error) => Problems::of(error, "name")?,
                }
            }
            Err(error) => Problems::of(error, "name")?,
        },
        Err(problems) => problems,
    };
    robot_page(&call, Typed { token: draft.without_password(), problems, ..Typed::default() }).await
}

async fn made_page(call: &Call, (org, name): (OwnerName, RobotName), line: Line, secret: TokenSecret) -> Result<Reply> {
    let (frame, (owner, robot, grants)) = frame(call, move |conn, caller| {
        let right = can_govern(conn, caller, &org)?;
        let seen = can_oversee(conn, caller, &org)?;
        let robot = robots::get(conn, &seen, &name)?;
        let share = can_share(conn, caller, &org, Level::Read)?;
        let grants = grants::of_user(conn, &share, robot.id)?;
        Ok((Owner::of(conn, caller, right.org())?, robot, grants))
    })
    .await?;
    let pattern = grants.first().map(|grant| grant.pattern.as_str());
    let example = first_use(call, &frame, &line, (&owner.name, pattern)).await?;
    Reply::page(&MadePage { frame, owner, robot, line, secret, example })
}

/// `POST /org/{org}/robots/{robot}/tokens/{token}/revoke`.
pub async fn revoke_token(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    let id = TokenId(call.part("token", What::Token).await?);
    form.read(&call).await?;
    let now = call.app.clock.now();
    let revoked =
        change(&call, move |conn, caller, right, name| robots::remove_token(conn, caller, right, (name, id), now));
    let notice = format!("Token {} revoked.", revoked.await?);
    Ok(Reply::to(&own_page(&call).await?).notice(&call.app, &notice))
}
