//! An owner: what the head of all their pages shows, and what the signed-in user may do there. A page of an owner has a
//! field `owner` of this type, sets `tab`, and includes the head: `{% let tab =
//! crate::web::owner::Tab::Packages %}{% include "owner_head.html" %}`.

use crate::auth::call::Call;
use crate::db::Connection;
use crate::domain::address::{self, HookPages, RetentionPages};
use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::names::OwnerName;
use crate::domain::role::{OwnerKind, Permission, Visibility};
use crate::error::{Error, Result, What};
use crate::registry::access::{self, CanRead, Visited};
use crate::registry::caller::Caller;
use crate::registry::owners::namespace::{self, OwnerDetails, Profile};

/// The number of colors for avatars (`data-tint` in the style sheet).
const TINTS: u32 = 6;

/// The pages of an owner, which the head shows as tabs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tab {
    Packages,
    Trash,
    Teams,
    Members,
    Hooks,
    Access,
    Robots,
    Retention,
    Settings,
}

/// An owner as the reader sees them.
#[derive(Debug, Clone)]
pub struct Owner {
    pub id: OwnerId,
    pub name: OwnerName,
    pub full_name: String,
    pub description: String,
    pub website: String,
    pub location: String,
    pub kind: OwnerKind,
    pub visibility: Visibility,
    pub created_at: Timestamp,
    /// The reader's role in this owner.
    permission: Option<Permission>,
    /// Whether the reader is in a team of this organization.
    is_member: bool,
    /// Whether the reader can publish here, if only to some packages.
    can_publish: bool,
    /// Whether the reader is this user.
    is_reader: bool,
}

impl Owner {
    /// The owner of this name, if the caller may see them.
    ///
    /// # Errors
    /// As [`access::visit`].
    pub fn visit(conn: &mut Connection, caller: &Caller, name: &OwnerName) -> Result<Self> {
        let visited = access::visit(conn, caller, name)?;
        Self::of(conn, caller, &visited)
    }

    /// The same, on the page of a package: with the caller's permission for this package, and its visibility.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn of_package(conn: &mut Connection, caller: &Caller, right: &CanRead) -> Result<Self> {
        let owner = Self::of(conn, caller, right.owner())?;
        let can_publish = right.permission() >= Some(Permission::Write);
        Ok(Self { can_publish, visibility: right.visibility(), ..owner })
    }

    /// Loads what pages show of an owner that the caller may see.
    ///
    /// # Errors
    /// Errors of the database; [`Error::NotFound`] if the owner has been deleted.
    pub fn of(conn: &mut Connection, caller: &Caller, visited: &Visited) -> Result<Self> {
        let about = namespace::about(conn, visited.id)?.ok_or(Error::NotFound(What::Owner))?;
        // People who see only some packages see nothing else of the owner.
        let about = match visited.is_whole() {
            true => about,
            false => OwnerDetails { full_name: String::new(), profile: Profile::default(), ..about },
        };
        Ok(Self {
            id: visited.id,
            name: visited.name.clone(),
            full_name: about.full_name,
            description: about.profile.description,
            website: about.profile.website,
            location: about.profile.location,
            kind: visited.kind,
            visibility: visited.visibility,
            created_at: about.created_at,
            permission: visited.permission(),
            is_member: visited.is_member(),
            can_publish: access::may_upload(caller, visited),
            is_reader: caller.user().is_some_and(|user| user.id == visited.id),
        })
    }

    /// Whether this is an organization.
    pub fn is_org(&self) -> bool {
        self.kind == OwnerKind::Organization
    }

    /// Whether the reader is this user.
    pub fn is_reader(&self) -> bool {
        self.is_reader
    }

    /// Whether the reader can publish and delete packages here.
    pub fn can_publish(&self) -> bool {
        self.can_publish
    }

    /// Whether the reader can put versions on hold and lift the hold.
    pub fn can_hold(&self) -> bool {
        self.permission >= Some(Permission::Owner)
    }

    /// Whether the reader can delete for good.
    pub fn can_purge(&self) -> bool {
        self.permission >= Some(Permission::Owner)
    }

    /// Whether the reader can see the organization's teams and members.
    pub fn can_inspect(&self) -> bool {
        self.is_org() && self.is_member
    }

    /// Whether the reader can change the organization itself.
    pub fn can_govern(&self) -> bool {
        self.is_org() && self.permission >= Some(Permission::Owner)
    }

    /// Whether only the owner, or members of the organization, see it.
    pub fn is_private(&self) -> bool {
        self.visibility == Visibility::Private
    }

    /// Whether download commands need a token.
    pub fn is_open(&self) -> bool {
        self.visibility == Visibility::Public
    }

    /// The letter in the avatar.
    pub fn initial(&self) -> String {
        initial(&self.name)
    }

    /// The color of the avatar.
    pub fn tint(&self) -> u32 {
        tint(&self.name)
    }

    /// The address of the owner's page, which lists the packages.
    pub fn url(&self) -> String {
        url(&self.name)
    }

    /// The address of the page for uploading files.
    pub fn upload_url(&self) -> String {
        address::upload_page(&self.name, None)
    }

    /// The address of the trash.
    pub fn trash_url(&self) -> String {
        address::trash_page(&self.name)
    }

    /// The address of the organization's members.
    pub fn members_url(&self) -> String {
        address::org_members(&self.name)
    }

    /// The address of the page that removes a member.
    pub fn removal_url(&self, user: &OwnerName) -> String {
        address::org_member_removal(&self.name, user)
    }

    /// The address of the organization's teams.
    pub fn teams_url(&self) -> String {
        address::org_teams(&self.name)
    }

    /// The address of the organization's webhooks.
    pub fn hooks_url(&self) -> String {
        HookPages::of(Some(&self.name)).list().to_owned()
    }

    /// Whether the reader can say who may do what with the packages.
    pub fn can_share(&self) -> bool {
        self.permission >= Some(Permission::Owner)
    }

    /// The address of the page with grants and protection rules.
    pub fn access_url(&self) -> String {
        address::access(&self.name)
    }

    /// The address of the organization's robots.
    pub fn robots_url(&self) -> String {
        address::org_robots(&self.name)
    }

    /// The address of the organization's retention rules.
    pub fn retention_url(&self) -> String {
        RetentionPages::of(Some(&self.name)).list().to_owned()
    }

    /// The address of the organization's settings.
    pub fn settings_url(&self) -> String {
        address::org_settings(&self.name)
    }

    /// The address that searches the owner's packages.
    pub fn packages_url(&self) -> String {
        address::owner_packages(&self.name)
    }
}

/// The first letter of a name.
pub fn initial(name: &OwnerName) -> String {
    name.as_str().chars().take(1).flat_map(char::to_uppercase).collect()
}

/// A color that is always the same for a name.
pub fn tint(name: &OwnerName) -> u32 {
    name.lower().bytes().fold(0, |sum: u32, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % TINTS
}

/// The address of an owner.
pub fn url(name: &OwnerName) -> String {
    address::owner_page(name)
}

/// The owner that the path of a request names. Any first path segment ends up here, so one that no owner can have, such
/// as `.well-known` or `sitemap.xml`, is simply not found.
///
/// # Errors
/// [`Error::NotFound`].
pub fn named(call: &Call) -> Result<OwnerName> {
    let name: Option<OwnerName> = call.possible_part("owner");
    let name = name.filter(|name| !name.is_site_file()).ok_or(Error::NotFound(What::Page))?;
    call.about(&name);
    Ok(name)
}
