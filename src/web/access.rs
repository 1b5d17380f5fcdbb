//! Who may do what with an owner's packages: its grants and its protection rules, on one page.

use super::forms::Protected;
use super::login::Nothing;
use super::owner::Owner;
use super::page::{Frame, Reply, frame};
use super::problems::Problems;
use crate::auth::call::Call;
use crate::db::Connection;
use crate::domain::address;
use crate::domain::ids::{GrantId, ProtectionId};
use crate::domain::names::OwnerName;
use crate::domain::role::{Level, Permission};
use crate::error::{Error, Result, What};
use crate::registry::access::{CanShare, can_share};
use crate::registry::caller::Caller;
use crate::registry::owners::grants::{self, Gift, Grant, NewGrantee};
use crate::registry::packages::protections::{self, NewProtection, Protection};
use crate::registry::pages::Slice;
use askama::Template;
use serde::Deserialize;

/// The permissions of a grant.
pub(super) const PERMISSIONS: [(&str, &str); 3] =
    [("read", "Read: download"), ("write", "Write: publish and delete"), ("admin", "Admin: also change visibility")];
/// The roles of a protection rule.
const ROLES: [(&str, &str); 4] = [
    ("write", "Role Write or higher"),
    ("admin", "Role Admin or higher"),
    ("owner", "Role Owner"),
    ("nobody", "Nobody"),
];

/// The form that creates a grant, as typed.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct GrantForm {
    to: String,
    pattern: String,
    permission: String,
}

impl GrantForm {
    fn read(&self, problems: &mut Problems) -> Option<(NewGrantee, Gift)> {
        let to = problems.take("to", grantee(self.to.trim()));
        let pattern = problems.take("pattern", self.pattern.trim().parse());
        let permission: Option<Permission> = problems.take("permission", self.permission.parse());
        let gift = problems.take("permission", Gift::new(pattern?, permission?))?;
        Some((to?, gift))
    }
}

/// A username, or a team as `organization/team`.
fn grantee(text: &str) -> Result<NewGrantee, String> {
    let wrong = |error: &dyn std::fmt::Display| error.to_string();
    Ok(match text.split_once('/') {
        Some((org, team)) => {
            NewGrantee::Team(org.parse().map_err(|error| wrong(&error))?, team.parse().map_err(|error| wrong(&error))?)
        }
        None => NewGrantee::User(text.parse().map_err(|error| wrong(&error))?),
    })
}

/// The form that creates a protection rule, as typed.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct ProtectionForm {
    name: String,
    packages: String,
    versions: String,
    publish: String,
    replace: String,
    delete: String,
}

impl ProtectionForm {
    fn read(&self, problems: &mut Problems) -> Option<NewProtection> {
        let packages = problems.take("packages", self.packages.trim().parse());
        let versions = problems.take("versions", self.versions.trim().parse());
        let publish = problems.take("publish", self.publish.parse());
        let replace = problems.take("replace", self.replace.parse());
        let delete = problems.take("delete", self.delete.parse());
        Some(NewProtection {
            name: self.name.trim().to_owned(),
            packages: packages?,
            versions: versions?,
            publish: publish?,
            replace: replace?,
            delete: delete?,
        })
    }
}

#[derive(Template)]
#[template(path = "access.html")]
struct AccessPage {
    frame: Frame,
    owner: Owner,
    grants: Vec<Grant>,
    protections: Vec<Protection>,
    grant: GrantForm,
    protection: ProtectionForm,
    problems: Problems,
    permissions: [(&'static str, &'static str); 3],
    roles: [(&'static str, &'static str); 4],
}

impl AccessPage {
    /// The fields of a rule's roles: name, label and the value as typed.
    fn role_fields(&self) -> [(&'static str, &'static str, &str); 3] {
        let ProtectionForm { publish, replace, delete, .. } = &self.protection;
        [
            ("publish", "Who may publish", publish),
            ("replace", "Who may replace files", replace),
            ("delete", "Who may delete", delete),
        ]
    }

    fn grants_url(&self) -> String {
        address::grants(&self.owner.name)
    }

    fn grant_deletion_url(&self, grant: &Grant) -> String {
        address::grant_deletion(&self.owner.name, grant.id)
    }

    fn publishers_url(&self) -> String {
        address::publishers(&self.owner.name)
    }

    fn protections_url(&self) -> String {
        address::protections(&self.owner.name)
    }

    fn protection_deletion_url(&self, rule: &Protection) -> String {
        address::protection_deletion(&self.owner.name, rule.id)
    }
}

/// The input of one of the page's forms, to show it again.
#[derive(Default)]
struct Typed {
    grant: GrantForm,
    protection: ProtectionForm,
    problems: Problems,
}

async fn owner(call: &Call) -> Result<OwnerName> {
    let owner: OwnerName = call.part("owner", What::Owner).await?;
    call.about(&owner);
    Ok(owner)
}

async fn page(call: &Call, name: OwnerName, typed: Typed) -> Result<Reply> {
    let load = move |conn: &mut Connection, caller: &Caller| {
        let right = can_share(conn, caller, &name, Level::Read)?;
        let grants = grants::list(conn, &right, Slice::WHOLE)?.items;
        let rules = protections::list(conn, &right, Slice::WHOLE)?.items;
        Ok((Owner::of(conn, caller, right.owner())?, grants, rules))
    };
    let (frame, (owner, grants, protections)) = frame(call, load).await?;
    let Typed { grant, protection, problems } = typed;
    let (permissions, roles) = (PERMISSIONS, ROLES);
    let page = AccessPage { frame, owner, grants, protections, grant, protection, problems, permissions, roles };
    if page.problems.is_empty() { Reply::page(&page) } else { page.problems.reply(&page) }
}

/// `GET /{owner}/-/access`.
pub async fn show(call: Call) -> Result<Reply> {
    let owner = owner(&call).await?;
    page(&call, owner, Typed::default()).await
}

/// Runs a change, if the user may change who may do what.
async fn change<T: Send + 'static>(
    call: &Call,
    owner: &OwnerName,
    mut work: impl FnMut(&mut Connection, &Caller, &CanShare) -> Result<T> + Send + 'static,
) -> Result<T> {
    let owner = owner.clone();
    call.writing(move |conn, caller| {
        let right = can_share(conn, caller, &owner, Level::Write)?;
        work(conn, caller, &right)
    })
    .await
}

/// `POST /{owner}/-/access/grants`.
pub async fn create_grant(call: Call, form: Protected<GrantForm>) -> Result<Reply> {
    let owner = owner(&call).await?;
    let form = form.read(&call).await?;
    let mut problems = Problems::default();
    if let Some((to, gift)) = form.read(&mut problems) {
        let now = call.app.clock.now();
        let made =
            change(&call, &owner, move |conn, caller, right| grants::create(conn, caller, right, (&to, &gift), now));
        match made.await {
            Ok(grant) => {
                let notice = format!("{} now has access to {}.", grant.grantee, grant.pattern);
                return Ok(Reply::to(&address::access(&owner)).notice(&call.app, &notice));
            }
            Err(Error::Conflict(_)) => {
                problems.add("to", "there is a grant for these packages already: delete it first")
            }
            Err(Error::Invalid { field: "user" | "team", problem }) => {
                let text = problem.split_once(": ").map_or(problem.as_str(), |(_, text)| text);
                problems.add("to", text);
            }
            Err(error) => problems = Problems::of(error, "to")?,
        }
    }
    page(&call, owner, Typed { grant: form, problems, ..Typed::default() }).await
}

/// `POST /{owner}/-/access/grants/{grant}/delete`.
pub async fn delete_grant(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    let owner = owner(&call).await?;
    let id = GrantId(call.part("grant", What::Grant).await?);
    form.read(&call).await?;
    let now = call.app.clock.now();
    change(&call, &owner, move |conn, caller, right| grants::delete(conn, caller, right, id, now)).await?;
    Ok(Reply::to(&address::access(&owner)).notice(&call.app, "Grant deleted."))
}

/// `POST /{owner}/-/access/protections`.
pub async fn create_protection(call: Call, form: Protected<ProtectionForm>) -> Result<Reply> {
    let owner = owner(&call).await?;
    let form = form.read(&call).await?;
    let mut problems = Problems::default();
    if let Some(new) = form.read(&mut problems) {
        let now = call.app.clock.now();
        let made =
            change(&call, &owner, move |conn, caller, right| protections::create(conn, caller, right, &new, now));
        match made.await {
            Ok(rule) => {
                let notice = format!("Protection rule {} created.", rule.name);
                return Ok(Reply::to(&address::access(&owner)).notice(&call.app, &notice));
            }
            Err(error) => problems = Problems::of(error, "name")?,
        }
    }
    page(&call, owner, Typed { protection: form, problems, ..Typed::default() }).await
}

/// `POST /{owner}/-/access/protections/{protection}/delete`.
pub async fn delete_protection(call: Call, form: Protected<Nothing>) -> Result<Reply> {
    let owner = owner(&call).await?;
    let id = ProtectionId(call.part("protection", What::Protection).await?);
    form.read(&call).await?;
    let now = call.app.clock.now();
    change(&call, &owner, move |conn, caller, right| protections::delete(conn, caller, right, id, now)).await?;
    Ok(Reply::to(&address::access(&owner)).notice(&call.app, "Protection rule deleted."))
}
