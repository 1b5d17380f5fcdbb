//! Webhook messages: the stored facts, and the JSON that Gitea sends (`PackagePayload`, indented by two spaces).

use crate::domain::address;
use crate::domain::clock::Timestamp;
use crate::domain::identity::VerifiedIdentity;
use crate::domain::ids::{OwnerId, VersionId};
use crate::domain::names::{FileName, OwnerName, PackageName};
use crate::domain::role::{OwnerKind, Visibility};
use crate::domain::version::Version;
use crate::domain::webhook::HookAction;
use crate::error::{Error, Result};
use crate::registry::owners::person::Person;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// A user or an organization at the time of the event.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OwnerSnapshot {
    pub id: OwnerId,
    #[serde(deserialize_with = "account_name")]
    pub name: OwnerName,
    pub full_name: String,
    pub visibility: i16,
    pub created_at: Timestamp,
}

/// A stored name, which may be a robot's.
fn account_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OwnerName, D::Error> {
    OwnerName::of_account(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// An organization's profile.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct OwnerProfile {
    pub description: String,
    pub website: String,
    pub location: String,
}

/// The facts about a change of a version. The outbox row holds them; the addresses are added when the message is sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Facts {
    pub id: VersionId,
    pub package: PackageName,
    pub version: Version,
    pub created_at: Timestamp,
    pub owner: OwnerSnapshot,
    pub owner_kind: i16,
    pub about: OwnerProfile,
    pub creator: Option<OwnerSnapshot>,
    /// The user who made the change; `None` for an actor without an account.
    pub sender: Option<OwnerSnapshot>,
    /// The version's files that were found damaged.
    #[serde(default)]
    pub damaged_files: Vec<FileName>,
    /// What was changed, each change in a word.
    #[serde(default)]
    pub changes: Vec<String>,
    /// The job of a trusted publisher that published all its files, if one did.
    #[serde(default)]
    pub identity: Option<VerifiedIdentity>,
}

#[derive(Serialize)]
struct Payload<'a> {
    action: &'static str,
    repository: (),
    package: Package<'a>,
    organization: Option<Organization<'a>>,
    sender: Option<User<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    damaged_files: &'a [FileName],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    changes: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    verified_identity: Option<&'a VerifiedIdentity>,
}

#[derive(Serialize)]
struct Package<'a> {
    id: VersionId,
    owner: User<'a>,
    repository: (),
    creator: User<'a>,
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a PackageName,
    version: &'a Version,
    html_url: String,
    created_at: Timestamp,
}

/// A user as the REST API shows them to everybody.
#[derive(Serialize)]
struct User<'a> {
    id: OwnerId,
    login: &'a OwnerName,
    username: &'a OwnerName,
    full_name: &'a str,
    email: &'static str,
    avatar_url: &'static str,
    html_url: String,
    is_admin: bool,
    active: bool,
    prohibit_login: bool,
    visibility: Visibility,
    created: Timestamp,
    last_login: (),
}

#[derive(Serialize)]
struct Organization<'a> {
    id: OwnerId,
    name: &'a OwnerName,
    username: &'a OwnerName,
    full_name: &'a str,
    description: &'a str,
    website: &'a str,
    location: &'a str,
    avatar_url: &'static str,
    visibility: Visibility,
}

fn visibility(number: i16) -> Visibility {
    // `Limited`, the narrower value, in case it is ever neither of the two.
    [Visibility::Public, Visibility::Limited]
        .into_iter()
        .find(|known| known.number() == number)
        .unwrap_or(Visibility::Private)
}

impl OwnerSnapshot {
    /// Gitea's Ghost, who stands for a deleted user.
    fn ghost() -> Self {
        let Person { id, name, full_name, visibility, created_at } = Person::ghost();
        Self { id, name, full_name, visibility: visibility.number(), created_at }
    }

    fn user<'a>(&'a self, root: &str) -> User<'a> {
        User {
            id: self.id,
            login: &self.name,
            username: &self.name,
            full_name: &self.full_name,
            email: "",
            avatar_url: "",
            html_url: format!("{root}{}", address::owner_page(&self.name)),
            is_admin: false,
            active: false,
            prohibit_login: false,
            visibility: visibility(self.visibility),
            created: self.created_at,
            last_login: (),
        }
    }
}

impl Facts {
    /// The payload; `root` is the site's own address.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn payload(&self, action: HookAction, root: &str) -> Result<String> {
        let Self { owner, about, .. } = self;
        let page = format!("{root}{}", address::version_page(&owner.name, &self.package, &self.version));
        let organization = (self.owner_kind == OwnerKind::Organization.number()).then(|| Organization {
            id: owner.id,
            name: &owner.name,
            username: &owner.name,
            full_name: &owner.full_name,
            description: &about.description,
            website: &about.website,
            location: &about.location,
            avatar_url: "",
            visibility: visibility(owner.visibility),
        });
        let ghost = OwnerSnapshot::ghost();
        let payload = Payload {
            action: action.as_str(),
            repository: (),
            package: Package {
                id: self.id,
                owner: owner.user(root),
                repository: (),
                creator: self.creator.as_ref().unwrap_or(&ghost).user(root),
                kind: "generic",
                name: &self.package,
                version: &self.version,
                html_url: page,
                created_at: self.created_at,
            },
            organization,
            sender: self.sender.as_ref().map(|sender| sender.user(root)),
            damaged_files: &self.damaged_files,
            changes: &self.changes,
            verified_identity: self.identity.as_ref(),
        };
        serde_json::to_string_pretty(&payload).map_err(Error::internal)
    }
}
