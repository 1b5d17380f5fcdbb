//! All addresses that the server writes, as paths within the site: of packages, versions and files in the generic
//! protocol, and of pages for packages, organizations, teams, tokens, webhooks and the administration.

use super::channel::ChannelName;
use super::ids::{
    DeliveryId, FileId, GrantId, HookId, IdentityId, OwnerId, PasskeyId, ProtectionId, RetentionRuleId, TeamId,
    TokenId, TrashId,
};
use super::names::{FileName, OwnerName, PackageName, RobotName};
use super::path::{FilePath, PackagePath, VersionPath, escape, escape_file};
use super::sign_in::ProviderName;
use super::version::Version;

/// The list of a package's versions.
pub fn generic_package(path: &PackagePath) -> String {
    format!("/api/packages/{}/generic/{}", escape(path.owner.as_str()), escape(path.package.as_str()))
}

/// The list of a version's files.
pub fn generic_version(path: &VersionPath) -> String {
    format!("{}/{}", generic_package(&path.in_package()), escape(path.version.as_str()))
}

/// The address in which a channel takes a version's place.
pub fn generic_channel(path: &PackagePath, channel: &ChannelName) -> String {
    format!("{}/@{}", generic_package(path), escape(channel.as_str()))
}

/// The address for publishing and downloading a file.
pub fn generic_file(path: &FilePath) -> String {
    generic_download(&path.in_version(), path.file.as_str())
}

/// The address for downloading a file, or a checksum file that is computed, and of a directory.
pub fn generic_download(version: &VersionPath, name: &str) -> String {
    format!("{}/{}", generic_version(version), escape_file(name))
}

/// The address of a file in an example, whose names may be placeholders.
pub fn generic_example(owner: &str, package: &str, version: &str, file: &str) -> String {
    format!("/api/packages/{}/generic/{}/{}/{}", escape(owner), escape(package), escape(version), escape_file(file))
}

/// A whole version as one archive, for programs.
pub fn archive(version: &VersionPath, ending: &str) -> String {
    let (owner, package) = (escape(version.owner.as_str()), escape(version.package.as_str()));
    format!("/api/v1/packages/{owner}/generic/{package}/{}/archive.{ending}", escape(version.version.as_str()))
}

/// The link to download a whole version as one archive on a page.
pub fn archive_link(version: &VersionPath, ending: &str) -> String {
    let page = package_page(&version.owner, &version.package);
    format!("{page}/{}/archive.{ending}", escape(version.version.as_str()))
}

/// Where signing in with a provider begins.
pub fn oidc_start(name: &ProviderName) -> String {
    format!("/login/oidc/{}", escape(name.as_str()))
}

/// Where a provider sends people back to.
pub fn oidc_callback(name: &ProviderName) -> String {
    format!("{}/callback", oidc_start(name))
}

/// The same where the provider knows the address of a Gitea.
pub fn oidc_gitea_callback(name: &ProviderName) -> String {
    format!("/user/oauth2/{}/callback", escape(name.as_str()))
}

/// Where people prove at a provider again who they are.
pub fn oidc_confirmation(name: &ProviderName) -> String {
    format!("{}/confirm", oidc_start(name))
}

/// The page after signing out of a session that began at a provider.
pub fn oidc_signed_out(name: &ProviderName) -> String {
    format!("{}/signed-out", oidc_start(name))
}

/// The page that links an account of a provider to one's own.
pub fn identity_link(name: &ProviderName) -> String {
    format!("/user/settings/security/identities/{}/link", escape(name.as_str()))
}

/// The page that unlinks an account of a provider.
pub fn identity_unlink(id: IdentityId) -> String {
    format!("/user/settings/security/identities/{id}/unlink")
}

/// The page that renames a passkey.
pub fn passkey_rename(id: PasskeyId) -> String {
    format!("/user/settings/security/passkeys/{id}/rename")
}

/// The page that removes a passkey.
pub fn passkey_remove(id: PasskeyId) -> String {
    format!("/user/settings/security/passkeys/{id}/remove")
}

/// The page of an owner, with the owner's packages. For a robot it is the page of its organization.
pub fn owner_page(name: &OwnerName) -> String {
    match name.as_robot() {
        Some((org, _)) => owner_page(&org),
        None => format!("/{}", escape(name.as_str())),
    }
}

/// The list of an owner's packages, which can be searched.
pub fn owner_packages(name: &OwnerName) -> String {
    format!("{}/-/packages", owner_page(name))
}

/// The last segment of the address of the list of versions. A version may have this name too.
pub const VERSIONS: &str = "versions";
/// The parameter that says that the version with that name is meant.
pub const ITSELF: &str = "itself";

/// The page of a package, which redirects to its newest version.
pub fn package_page(owner: &OwnerName, name: &PackageName) -> String {
    format!("/{}/-/packages/generic/{}", escape(owner.as_str()), escape(name.as_str()))
}

/// The page with the versions of a package.
pub fn versions_page(owner: &OwnerName, name: &PackageName) -> String {
    format!("{}/{VERSIONS}", package_page(owner, name))
}

/// The last segment of the address of the feed of versions. A version may have this name too.
pub const VERSIONS_FEED: &str = "versions.atom";

/// The feed of a package.
pub fn versions_feed(owner: &OwnerName, name: &PackageName) -> String {
    format!("{}/{VERSIONS_FEED}", package_page(owner, name))
}

/// The feed of an owner's packages.
pub fn owner_feed(name: &OwnerName) -> String {
    format!("{}.atom", owner_packages(name))
}

/// The page of a version.
pub fn version_page(owner: &OwnerName, name: &PackageName, version: &Version) -> String {
    let itself =
        if matches!(version.as_str(), VERSIONS | VERSIONS_FEED) { format!("?{ITSELF}=1") } else { String::new() };
    format!("{}/{}{itself}", package_page(owner, name), escape(version.as_str()))
}

fn file_by_id(owner: &OwnerName, name: &PackageName, version: &Version, id: FileId) -> String {
    format!("{}/{}/files/{id}", package_page(owner, name), escape(version.as_str()))
}

/// The last segment of the address of the page that deletes a file. A file may have this name too.
const DELETE: &str = "delete";

/// The link to download a file on a page.
pub fn file_download(owner: &OwnerName, name: &PackageName, version: &Version, id: FileId, file: &FileName) -> String {
    file_by_name(owner, name, version, id, file).unwrap_or_else(|| file_by_id(owner, name, version, id))
}

/// The address of a download that ends in the file's name, without its directories: `wget` and `curl -O` save it under
/// that. `None` for a name that stands for a page at that place.
pub fn file_by_name(
    owner: &OwnerName,
    name: &PackageName,
    version: &Version,
    id: FileId,
    file: &FileName,
) -> Option<String> {
    let by_id = file_by_id(owner, name, version, id);
    let name = file.last_segment();
    (name != DELETE).then(|| format!("{by_id}/{}", escape(name)))
}

/// The page that asks before a file is deleted.
pub fn file_deletion(owner: &OwnerName, name: &PackageName, version: &Version, id: FileId) -> String {
    format!("{}/{DELETE}", file_by_id(owner, name, version, id))
}

/// The page that asks before a version is deleted.
pub fn version_deletion(owner: &OwnerName, name: &PackageName, version: &Version) -> String {
    format!("{}/{}/delete", package_page(owner, name), escape(version.as_str()))
}

fn version_form(owner: &OwnerName, name: &PackageName, version: &Version, form: &str) -> String {
    format!("{}/{}/{form}", package_page(owner, name), escape(version.as_str()))
}

/// The form that publishes a draft.
pub fn version_publishing(owner: &OwnerName, name: &PackageName, version: &Version) -> String {
    version_form(owner, name, version, "publish")
}

/// The form that seals a version.
pub fn version_sealing(owner: &OwnerName, name: &PackageName, version: &Version) -> String {
    version_form(owner, name, version, "seal")
}

/// The form that changes the notes and flags of a version.
pub fn version_edit(owner: &OwnerName, name: &PackageName, version: &Version) -> String {
    version_form(owner, name, version, "edit")
}

/// The address that leads to the right file for the reader's computer.
pub fn right_file(owner: &OwnerName, name: &PackageName, version: &Version) -> String {
    version_form(owner, name, version, "download")
}

/// The page that copies or moves the files of a version, and its form that copies them.
pub fn version_copy(owner: &OwnerName, name: &PackageName, version: &Version) -> String {
    version_form(owner, name, version, "copy")
}

/// The form that moves the files of a version.
pub fn version_move(owner: &OwnerName, name: &PackageName, version: &Version) -> String {
    version_form(owner, name, version, "move")
}

/// The page that compares two versions of a package. Like the page of the settings, it isn't below the pages of
/// versions, where any word could be a version.
pub fn comparison_page(owner: &OwnerName, name: &PackageName) -> String {
    format!("/{}/-/packages/compare/generic/{}", escape(owner.as_str()), escape(name.as_str()))
}

/// The comparison of two versions of a package.
pub fn comparison(owner: &OwnerName, name: &PackageName, from: &Version, to: &Version) -> String {
    let (from, to) = (escape(from.as_str()), escape(to.as_str()));
    format!("{}?from={from}&to={to}", comparison_page(owner, name))
}

/// The page with the settings of a package.
pub fn package_settings(owner: &OwnerName, name: &PackageName) -> String {
    format!("/{}/-/packages/settings/generic/{}", escape(owner.as_str()), escape(name.as_str()))
}

/// The form that sets the visibility of a package.
pub fn package_visibility(owner: &OwnerName, name: &PackageName) -> String {
    format!("{}/visibility", package_settings(owner, name))
}

/// The page with the channels of a package.
pub fn channels_page(owner: &OwnerName, name: &PackageName) -> String {
    format!("{}/channels", package_settings(owner, name))
}

/// The form that deletes a channel.
pub fn channel_deletion(owner: &OwnerName, name: &PackageName) -> String {
    format!("{}/delete", channels_page(owner, name))
}

/// The form that deletes a package.
pub fn package_deletion(owner: &OwnerName, name: &PackageName) -> String {
    format!("{}/delete", package_settings(owner, name))
}

/// The page with an owner's grants and protection rules.
pub fn access(name: &OwnerName) -> String {
    format!("{}/-/access", owner_page(name))
}

/// The form that creates a grant.
pub fn grants(name: &OwnerName) -> String {
    format!("{}/grants", access(name))
}

/// The form that deletes a grant.
pub fn grant_deletion(name: &OwnerName, id: GrantId) -> String {
    format!("{}/{id}/delete", grants(name))
}

/// The form that creates a protection rule.
pub fn protections(name: &OwnerName) -> String {
    format!("{}/protections", access(name))
}

/// The form that deletes a protection rule.
pub fn protection_deletion(name: &OwnerName, id: ProtectionId) -> String {
    format!("{}/{id}/delete", protections(name))
}

/// The page with an owner's trusted publishers.
pub fn publishers(name: &OwnerName) -> String {
    format!("{}/-/publishers", owner_page(name))
}

/// The page that changes a trusted publisher.
pub fn publisher_edit(name: &OwnerName, id: OwnerId) -> String {
    format!("{}/{id}/edit", publishers(name))
}

/// The form that deletes a trusted publisher.
pub fn publisher_deletion(name: &OwnerName, id: OwnerId) -> String {
    format!("{}/{id}/delete", publishers(name))
}

/// The trash of an owner.
pub fn trash_page(owner: &OwnerName) -> String {
    format!("{}/-/trash", owner_page(owner))
}

/// The form that restores an entry of the trash.
pub fn trash_restoration(owner: &OwnerName, id: TrashId) -> String {
    format!("{}/{id}/restore", trash_page(owner))
}

/// The page that asks before an entry of the trash is deleted for good.
pub fn trash_deletion(owner: &OwnerName, id: TrashId) -> String {
    format!("{}/{id}/delete", trash_page(owner))
}

/// The page for uploading files to a version, with the names filled in.
pub fn upload_page(owner: &OwnerName, to: Option<(&PackageName, Option<&Version>)>) -> String {
    let mut url = format!("/{}/-/upload", escape(owner.as_str()));
    if let Some((name, version)) = to {
        url.push_str(&format!("?package={}", escape(name.as_str())));
        if let Some(version) = version {
            url.push_str(&format!("&version={}", escape(version.as_str())));
        }
    }
    url
}

/// The page for uploading files, with a package and a version as they were typed, valid or not.
pub fn upload_page_with(owner: &OwnerName, package: &str, version: &str) -> String {
    format!("{}?package={}&version={}", upload_page(owner, None), escape(package), escape(version))
}

fn org(name: &OwnerName) -> String {
    format!("/org/{}", escape(name.as_str()))
}

/// The page with the settings of an organization.
pub fn org_settings(name: &OwnerName) -> String {
    format!("{}/settings", org(name))
}

/// The form that renames an organization.
pub fn org_rename(name: &OwnerName) -> String {
    format!("{}/rename", org_settings(name))
}

/// The form that deletes an organization.
pub fn org_deletion(name: &OwnerName) -> String {
    format!("{}/delete", org_settings(name))
}

/// The page with the members of an organization.
pub fn org_members(name: &OwnerName) -> String {
    format!("{}/members", org(name))
}

/// The page that asks before a member leaves an organization.
pub fn org_member_removal(name: &OwnerName, user: &OwnerName) -> String {
    format!("{}/{}/remove", org_members(name), escape(user.as_str()))
}

/// The page with the teams of an organization.
pub fn org_teams(name: &OwnerName) -> String {
    format!("{}/teams", org(name))
}

/// The page of a team.
pub fn org_team(name: &OwnerName, team: &str, id: TeamId) -> String {
    match team {
        // Browsers would resolve these names as path segments.
        "." | ".." => format!("{}/{id}", org_teams(name)),
        _ => org_team_named(name, team),
    }
}

/// The page of a team whose name is not `.` or `..`.
pub fn org_team_named(name: &OwnerName, team: &str) -> String {
    format!("{}/{}", org_teams(name), escape(team))
}

/// The form that deletes a team.
pub fn org_team_deletion(name: &OwnerName, team: &str, id: TeamId) -> String {
    format!("{}/delete", org_team(name, team, id))
}

/// The form that adds a member to a team.
pub fn org_team_members(name: &OwnerName, team: &str, id: TeamId) -> String {
    format!("{}/members", org_team(name, team, id))
}

/// The form that removes a member from a team.
pub fn org_team_member_removal(name: &OwnerName, team: &str, id: TeamId, user: &OwnerName) -> String {
    format!("{}/{}/remove", org_team_members(name, team, id), escape(user.as_str()))
}

/// The page with the robots of an organization.
pub fn org_robots(name: &OwnerName) -> String {
    format!("{}/robots", org(name))
}

/// The page of a robot.
pub fn org_robot(name: &OwnerName, robot: &RobotName) -> String {
    format!("{}/{}", org_robots(name), escape(robot.as_str()))
}

/// The form that deletes a robot.
pub fn org_robot_deletion(name: &OwnerName, robot: &RobotName) -> String {
    format!("{}/delete", org_robot(name, robot))
}

/// The form that gives a robot access to packages.
pub fn org_robot_grants(name: &OwnerName, robot: &RobotName) -> String {
    format!("{}/grants", org_robot(name, robot))
}

/// The form that takes access away from a robot.
pub fn org_robot_grant_deletion(name: &OwnerName, robot: &RobotName, grant: GrantId) -> String {
    format!("{}/{grant}/delete", org_robot_grants(name, robot))
}

/// The form that creates a token for a robot.
pub fn org_robot_tokens(name: &OwnerName, robot: &RobotName) -> String {
    format!("{}/tokens", org_robot(name, robot))
}

/// The form that revokes a token of a robot.
pub fn org_robot_token_revocation(name: &OwnerName, robot: &RobotName, token: TokenId) -> String {
    format!("{}/{token}/revoke", org_robot_tokens(name, robot))
}

/// The page that asks before a token is revoked.
pub fn token_revocation(id: &TokenId) -> String {
    format!("/user/settings/tokens/{id}/revoke")
}

/// The pages of the webhooks of an organization, or of the signed-in user.
#[derive(Debug, Clone)]
pub struct HookPages(String);

impl HookPages {
    /// The pages of this organization's webhooks, or else of the signed-in user's.
    pub fn of(name: Option<&OwnerName>) -> Self {
        Self(name.map_or_else(|| "/user/settings/hooks".to_owned(), |name| format!("{}/hooks", org_settings(name))))
    }

    /// The page with all the webhooks.
    pub fn list(&self) -> &str {
        &self.0
    }

    /// The page that creates a webhook.
    pub fn creation(&self) -> String {
        format!("{}/new", self.0)
    }

    /// The page of a webhook.
    pub fn hook(&self, id: &HookId) -> String {
        format!("{}/{id}", self.0)
    }

    /// The form that deletes a webhook.
    pub fn deletion(&self, id: &HookId) -> String {
        format!("{}/delete", self.hook(id))
    }

    /// The form that sends a test.
    pub fn tests(&self, id: &HookId) -> String {
        format!("{}/tests", self.hook(id))
    }

    /// The page of a delivery.
    pub fn delivery(&self, id: &HookId, delivery: &DeliveryId) -> String {
        format!("{}/deliveries/{delivery}", self.hook(id))
    }

    /// The form that sends a delivery again.
    pub fn attempts(&self, id: &HookId, delivery: &DeliveryId) -> String {
        format!("{}/attempts", self.delivery(id, delivery))
    }
}

/// The pages of the retention rules of an organization, or of the signed-in user.
#[derive(Debug, Clone)]
pub struct RetentionPages(String);

impl RetentionPages {
    /// The pages of this organization's rules, or else of the signed-in user's.
    pub fn of(name: Option<&OwnerName>) -> Self {
        let own = || "/user/settings/retention".to_owned();
        Self(name.map_or_else(own, |name| format!("{}/retention", org_settings(name))))
    }

    /// The page with all the rules.
    pub fn list(&self) -> &str {
        &self.0
    }

    /// The page that creates a rule.
    pub fn creation(&self) -> String {
        format!("{}/new", self.0)
    }

    /// The page that shows what the rules would delete.
    pub fn preview(&self) -> String {
        format!("{}/preview", self.0)
    }

    /// The page of a rule.
    pub fn rule(&self, id: &RetentionRuleId) -> String {
        format!("{}/{id}", self.0)
    }

    /// The form that deletes a rule.
    pub fn deletion(&self, id: &RetentionRuleId) -> String {
        format!("{}/delete", self.rule(id))
    }
}

/// The page of a user for administrators.
pub fn admin_user(name: &OwnerName) -> String {
    format!("/-/admin/users/{}", escape(name.as_str()))
}

/// A page or form below the page of a user for administrators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserAction {
    Approve,
    Delete,
    Edit,
    Invitation,
    InvitationWithdrawal,
    Lock,
    Password,
    Quota,
    Rename,
    Role,
    SecondFactor,
    Unlock,
}

/// The page or form with which an administrator does this to a user.
pub fn admin_user_action(name: &OwnerName, action: UserAction) -> String {
    let word = match action {
        UserAction::Approve => "approve",
        UserAction::Delete => "delete",
        UserAction::Edit => "edit",
        UserAction::Invitation => "invitation",
        UserAction::InvitationWithdrawal => "invitation/withdraw",
        UserAction::Lock => "lock",
        UserAction::Password => "password",
        UserAction::Quota => "quota",
        UserAction::Rename => "rename",
        UserAction::Role => "role",
        UserAction::SecondFactor => "second-factor",
        UserAction::Unlock => "unlock",
    };
    format!("{}/{word}", admin_user(name))
}

/// The page with the quota of an organization for administrators.
pub fn admin_org_quota(name: &OwnerName) -> String {
    format!("/-/admin/orgs/{}/quota", escape(name.as_str()))
}

/// The form that starts a job.
pub fn admin_task(name: &str) -> String {
    format!("/-/admin/system/tasks/{}", escape(name))
}

/// The page that tests a sign-in provider.
pub fn admin_provider(name: &ProviderName) -> String {
    format!("/-/admin/sign-in/{}", escape(name.as_str()))
}

/// The audit log of what somebody did.
pub fn audit_of_actor(name: &str) -> String {
    format!("/-/admin/audit?actor={}", escape(name))
}

/// The audit log of what happened to an owner.
pub fn audit_of_owner(name: &str) -> String {
    format!("/-/admin/audit?owner={}", escape(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_a_version_is_never_taken_for_the_list() {
        let (owner, name) = ("ada".parse().unwrap(), "c++".parse().unwrap());
        let url = |text: &str| version_page(&owner, &name, &text.parse().unwrap());
        assert_eq!(url("1.0/a ü"), "/ada/-/packages/generic/c%2B%2B/1.0%2Fa%20%C3%BC");
        assert_eq!(url("versions"), "/ada/-/packages/generic/c%2B%2B/versions?itself=1");
        assert_eq!(versions_page(&owner, &name), "/ada/-/packages/generic/c%2B%2B/versions");
        assert_eq!(upload_page(&owner, Some((&name, None))), "/ada/-/upload?package=c%2B%2B");
        let download =
            |file: &str| file_download(&owner, &name, &"1".parse().unwrap(), FileId(27), &file.parse().unwrap());
        assert_eq!(download("a b#c"), "/ada/-/packages/generic/c%2B%2B/1/files/27/a%20b%23c");
        assert_eq!(download("Delete"), "/ada/-/packages/generic/c%2B%2B/1/files/27/Delete");
        assert_eq!(download("delete"), "/ada/-/packages/generic/c%2B%2B/1/files/27");
        assert_eq!(download("d/delete"), "/ada/-/packages/generic/c%2B%2B/1/files/27");
        assert_eq!(download("d e/f g"), "/ada/-/packages/generic/c%2B%2B/1/files/27/f%20g");
        let path = FilePath {
            owner: owner.clone(),
            package: name.clone(),
            version: "1/0".parse().unwrap(),
            file: "d e/f%2Fg".parse().unwrap(),
        };
        assert_eq!(generic_file(&path), "/api/packages/ada/generic/c%2B%2B/1%2F0/d%20e/f%252Fg");
        let deletion = file_deletion(&owner, &name, &"1".parse().unwrap(), FileId(27));
        assert_eq!(deletion, "/ada/-/packages/generic/c%2B%2B/1/files/27/delete");
    }
}
