//! The routes of the REST API v1. A more specific route comes before one that would match it too.

use super::table::{Interface, Routes, Serve, Service, read, write};
use crate::api::endpoint::{Answer, Input};
use crate::api::error::render_error;
use crate::api::webhooks::{self, deliveries};
use crate::api::{account, admin, archives, audit, channels, copies, grants, members, meta, orgs, package_settings};
use crate::api::{
    comparison, packages, protections, quotas, retention, robots, search, teams, tokens, trash, users, version_states,
};
use crate::auth::policy::AcceptedCredentials::{self, Any, Ignored, Password, Token};
use crate::auth::policy::Right::{
    Everybody, Member, OrgOwner, Owner, Reader, SelfOrAdmin, SignedIn, SiteAdmin, Writer,
};
use crate::domain::role::Area::{Admin, Organization, Package, User};
use crate::error::Result;
use crate::http::description::Description;
use crate::registry::audit::Event;
use crate::state::App;
use actix_web::{FromRequest, Handler, HttpRequest, web};
use std::sync::Arc;

/// The REST API: the types of a handler describe its inputs and answers, and errors are JSON.
pub(super) struct Api;

impl Interface for Api {
    const CREDENTIALS: AcceptedCredentials = Any;
}

impl<F, I, A> Serve<Api, (I, A)> for F
where
    F: Handler<I, Output = Result<A>>,
    I: FromRequest + Input + 'static,
    A: Answer + 'static,
{
    fn service(self) -> Service {
        let answer = move |req: HttpRequest, app: web::Data<Arc<App>>, inputs: I| {
            let done = self.call(inputs);
            async move {
                match done.await {
                    Ok(answer) => answer.respond(),
                    Err(error) => render_error(&req, &app, &error),
                }
            }
        };
        let describe = |description: &mut Description| {
            I::describe(description);
            A::describe(description);
        };
        Service::new(answer, Some(describe))
    }
}

#[rustfmt::skip]
pub(super) fn routes() -> Routes<Api> {
    Routes::new()
        // The REST API v1: the requests that clients send first.
        .get("/api/v1/version", meta::version).right(Everybody).credentials(Ignored).id("metaVersion")
            .about("Get the server's version")
        .get("/api/v1/settings/api", meta::api_settings).right(Everybody).credentials(Ignored).id("metaApiSettings")
            .about("Get the API's limits")
        .get("/api/v1/settings/ui", meta::ui_settings).right(Everybody).credentials(Ignored).id("metaUiSettings")
            .about("Get the settings of the pages, for Gitea's clients")
        .get("/api/v1/settings/attachment", meta::attachment_settings).right(Everybody).credentials(Ignored)
            .id("metaAttachmentSettings").about("Get the settings of attachments: there are none")
        .get("/api/v1/settings/repository", meta::repository_settings).right(Everybody).credentials(Ignored)
            .id("metaRepositorySettings").about("Get the settings of Git repositories: there are none")

        // Users and their tokens.
        .get("/api/v1/user", users::me).right(SignedIn).scope(read(User)).id("usersMe").about("Get the signed-in user")
        .get("/api/v1/user/orgs", orgs::list_own).right(SignedIn).scope(read(Organization)).id("orgsListOwn")
            .about("List the organizations of the signed-in user, by name")
        .get("/api/v1/user/teams", teams::list_own).right(SignedIn).scope(read(Organization)).id("teamsListOwn")
            .about("List the teams of the signed-in user")
        .get("/api/v1/user/emails", account::emails).right(SignedIn).scope(read(User)).id("accountEmails")
            .about("List the email addresses of the signed-in user: there is one")
        .get("/api/v1/user/settings", account::settings).right(SignedIn).scope(read(User)).id("accountSettings")
            .about("Get the settings of the signed-in user")
        .get("/api/v1/user/keys", account::none_of_own).right(SignedIn).scope(read(User)).id("accountKeys")
            .about("List the SSH keys of the signed-in user: always none")
        .get("/api/v1/user/repos", account::none_of_own).right(SignedIn).scope(read(User)).id("accountRepositories")
            .about("List the repositories of the signed-in user: always none")
        .get("/api/v1/users/search", users::search).right(Everybody).scope(read(User)).id("usersSearch")
            .about("Find users by a part of their names")
        .get("/api/v1/users/{user}", users::get).right(Reader).scope(read(User)).id("usersGet").about("Get a user")
        .get("/api/v1/users/{user}/orgs", orgs::list_of_user).right(Reader).scope(read(Organization))
            .id("orgsListOfUser").about("List a user's organizations, by name")
        .get("/api/v1/users/{user}/repos", users::list_repositories).right(Reader).scope(read(User))
            .id("usersListRepositories").about("List a user's repositories: always none")
        .get("/api/v1/users/{user}/orgs/{org}/permissions", members::permissions).right(Member)
            .scope(read(Organization)).id("membersPermissions")
            .about("Get a user's permissions in an organization; all users may ask about themselves")
        .get("/api/v1/users/{user}/tokens", tokens::list).right(SelfOrAdmin).credentials(Password).id("tokensList")
            .about("List a user's access tokens")
        .post("/api/v1/users/{user}/tokens", tokens::create).right(SelfOrAdmin).credentials(Password)
            .event(Event::TokenCreate).id("tokensCreate").about("Create an access token")
            .says(400, "A scope is missing or unknown, or the user already has a token of this name")
        .delete("/api/v1/users/{user}/tokens/{token}", tokens::revoke).right(SelfOrAdmin).credentials(Password)
            .event(Event::TokenRevoke).id("tokensRevoke").about("Revoke an access token, by its id or its name")
            .says(409, "The id of one token is the name of another; the message names both")
        .get("/api/v1/token", tokens::get_in_use).right(SignedIn).credentials(Token).id("tokensGetInUse")
            .about("Get the access token in use")
        .delete("/api/v1/token", tokens::revoke_in_use).right(SignedIn).credentials(Token).event(Event::TokenRevoke)
            .id("tokensRevokeInUse").about("Revoke the access token in use")

        // Site administration.
        .get("/api/v1/admin/users", admin::list).right(SiteAdmin).scope(read(Admin)).id("adminList")
            .about("List all users")
        .post("/api/v1/admin/users", admin::create).right(SiteAdmin).scope(write(Admin)).event(Event::UserCreate)
            .id("adminCreate").about("Create a user")
        .patch("/api/v1/admin/users/{user}", admin::edit).right(SiteAdmin).scope(write(Admin))
            .event(Event::UserUpdate).id("adminEdit").about("Change a user")
        .delete("/api/v1/admin/users/{user}", admin::delete).right(SiteAdmin).scope(write(Admin))
            .event(Event::UserDelete).id("adminDelete").about("Delete a user")
            .says(422, "The user owns packages, is an organization's only owner, or is the only administrator")
            .says(409, "A version of theirs is on hold")
        .post("/api/v1/admin/users/{user}/rename", admin::rename).right(SiteAdmin).scope(write(Admin))
            .event(Event::UserRename).id("adminRename")
            .about("Rename a user; the old name redirects until someone takes it")
        .post("/api/v1/admin/users/{user}/orgs", admin::create_org).right(SiteAdmin).scope(write(Admin))
            .event(Event::OrgCreate).id("adminCreateOrg").about("Create an organization owned by the user")
        .get("/api/v1/admin/orgs", admin::list_orgs).right(SiteAdmin).scope(read(Admin)).id("adminListOrgs")
            .about("List all organizations, by name")

        // Organizations, teams, members.
        .get("/api/v1/orgs", orgs::list).right(Everybody).scope(read(Organization)).id("orgsList")
            .about("List the organizations the caller can see, by name")
        .post("/api/v1/orgs", orgs::create).right(SignedIn).scope(write(Organization)).event(Event::OrgCreate)
            .id("orgsCreate").about("Create an organization")
        .get("/api/v1/orgs/{org}", orgs::get).right(Reader).scope(read(Organization)).id("orgsGet")
            .about("Get an organization")
        .patch("/api/v1/orgs/{org}", orgs::edit).right(OrgOwner).scope(write(Organization)).event(Event::OrgUpdate)
            .id("orgsEdit").about("Change an organization")
        .delete("/api/v1/orgs/{org}", orgs::delete).right(OrgOwner).scope(write(Organization)).event(Event::OrgDelete)
            .id("orgsDelete").about("Delete an organization").says(422, "It owns packages; the message says how many")
        .post("/api/v1/orgs/{org}/rename", orgs::rename).right(OrgOwner).scope(write(Organization))
            .event(Event::OrgRename).id("orgsRename")
            .about("Rename an organization; the old name redirects until someone takes it")
        .get("/api/v1/orgs/{org}/repos", orgs::list_repositories).right(Reader).scope(read(Organization))
            .id("orgsListRepositories")
            .about("List an organization's repositories: always none, for clients that check before deleting")
        .get("/api/v1/orgs/{org}/members", members::list_of_org).right(Member).scope(read(Organization))
            .id("membersListOfOrg").about("List an organization's members, by name")
        .get("/api/v1/orgs/{org}/members/{user}", members::is_in_org).right(Member).scope(read(Organization))
            .id("membersIsInOrg").about("Check whether a user is a member; all users may ask about themselves")
        .get("/api/v1/orgs/{org}/public_members", members::list_public).right(Reader).scope(read(Organization))
            .id("membersListPublic").about("List the public members: always none")
        .delete("/api/v1/orgs/{org}/members/{user}", members::expel).right(OrgOwner).scope(write(Organization))
            .event(Event::OrgMemberRemove).id("membersExpel")
            .about("Remove a user from all teams; members may remove themselves")
        .get("/api/v1/orgs/{org}/robots", robots::list).right(OrgOwner).scope(read(Organization)).id("robotsList")
            .about("List an organization's robots, by name")
        .post("/api/v1/orgs/{org}/robots", robots::create).right(OrgOwner).scope(write(Organization))
            .event(Event::RobotCreate).id("robotsCreate").about("Create a robot")
        .get("/api/v1/orgs/{org}/robots/{robot}", robots::get).right(OrgOwner).scope(read(Organization))
            .id("robotsGet").about("Get a robot")
        .patch("/api/v1/orgs/{org}/robots/{robot}", robots::edit).right(OrgOwner).scope(write(Organization))
            .event(Event::RobotUpdate).id("robotsEdit").about("Change the description of a robot")
        .delete("/api/v1/orgs/{org}/robots/{robot}", robots::delete).right(OrgOwner).scope(write(Organization))
            .event(Event::RobotDelete).id("robotsDelete").about("Delete a robot with its tokens and grants")
        .get("/api/v1/orgs/{org}/robots/{robot}/tokens", robots::list_tokens).right(OrgOwner).credentials(Password)
            .id("robotsListTokens").about("List a robot's access tokens")
        .post("/api/v1/orgs/{org}/robots/{robot}/tokens", robots::create_token).right(OrgOwner).credentials(Password)
            .event(Event::TokenCreate).id("robotsCreateToken")
            .about("Create an access token of a robot, which can read and publish packages")
        .delete("/api/v1/orgs/{org}/robots/{robot}/tokens/{token}", robots::revoke_token).right(OrgOwner)
            .credentials(Password).event(Event::TokenRevoke).id("robotsRevokeToken")
            .about("Revoke an access token of a robot, by its id or its name")
            .says(409, "The id of one token is the name of another; the message names both")
        .get("/api/v1/orgs/{org}/teams", teams::list).right(Member).scope(read(Organization)).id("teamsList")
            .about("List an organization's teams, by name")
        .post("/api/v1/orgs/{org}/teams", teams::create).right(OrgOwner).scope(write(Organization))
            .event(Event::TeamCreate).id("teamsCreate").about("Create a team")
        .get("/api/v1/orgs/{org}/teams/search", teams::search).right(Member).scope(read(Organization))
            .id("teamsSearch").about("Find teams by a part of their names")
        .get("/api/v1/teams/{team}", teams::get).right(Member).scope(read(Organization)).id("teamsGet")
            .about("Get a team")
        .patch("/api/v1/teams/{team}", teams::edit).right(OrgOwner).scope(write(Organization))
            .event(Event::TeamUpdate).id("teamsEdit").about("Change a team")
        .delete("/api/v1/teams/{team}", teams::delete).right(OrgOwner).scope(write(Organization))
            .event(Event::TeamDelete).id("teamsDelete").about("Delete a team").says(422, "It is the team Owners")
        .get("/api/v1/teams/{team}/repos", teams::list_repositories).right(Member).scope(read(Organization))
            .id("teamsListRepositories").about("List a team's repositories: always none")
        .get("/api/v1/teams/{team}/members", members::list_of_team).right(Member).scope(read(Organization))
            .id("membersListOfTeam").about("List a team's members, by name")
        .get("/api/v1/teams/{team}/members/{user}", members::get_of_team).right(Member).scope(read(Organization))
            .id("membersGetOfTeam").about("Get a member of a team")
        .put("/api/v1/teams/{team}/members/{user}", members::add).right(OrgOwner).scope(write(Organization))
            .event(Event::MemberAdd).id("membersAdd").about("Add a user to a team")
        .delete("/api/v1/teams/{team}/members/{user}", members::remove).right(OrgOwner).scope(write(Organization))
            .event(Event::MemberRemove).id("membersRemove").about("Remove a user from a team")

        // The audit log.
        .get("/api/v1/admin/audit", audit::list).right(SiteAdmin).scope(read(Admin)).id("auditList")
            .about("List the audit log, newest first, or export all of it as JSON lines")

        // Quotas.
        .get("/api/v1/users/{user}/quota", quotas::of_user).right(SelfOrAdmin).scope(read(User)).id("quotasOfUser")
            .about("Get a user's quota and storage use")
        .patch("/api/v1/users/{user}/quota", quotas::set_for_user).right(SiteAdmin).scope(write(Admin))
            .event(Event::OwnerQuota).id("quotasSetForUser").about("Set a user's quota")
        .get("/api/v1/orgs/{org}/quota", quotas::of_org).right(Member).scope(read(Organization)).id("quotasOfOrg")
            .about("Get an organization's quota and storage use")
        .patch("/api/v1/orgs/{org}/quota", quotas::set_for_org).right(SiteAdmin).scope(write(Admin))
            .event(Event::OwnerQuota).id("quotasSetForOrg").about("Set an organization's quota")

        // Webhooks of users and organizations, and their deliveries.
        .get("/api/v1/user/hooks", webhooks::list).right(SignedIn).scope(read(User)).id("hooksListOwn")
            .about("List the signed-in user's webhooks")
        .post("/api/v1/user/hooks", webhooks::create).right(SignedIn).scope(write(User)).event(Event::HookCreate)
            .id("hooksCreateOwn").about("Create a webhook for the signed-in user")
        .get("/api/v1/user/hooks/{hook}", webhooks::get).right(SignedIn).scope(read(User)).id("hooksGetOwn")
            .about("Get a webhook of the signed-in user")
        .patch("/api/v1/user/hooks/{hook}", webhooks::edit).right(SignedIn).scope(write(User))
            .event(Event::HookUpdate).id("hooksEditOwn").about("Change a webhook of the signed-in user")
        .delete("/api/v1/user/hooks/{hook}", webhooks::delete).right(SignedIn).scope(write(User))
            .event(Event::HookDelete).id("hooksDeleteOwn")
            .about("Delete a webhook of the signed-in user and its deliveries")
        .post("/api/v1/user/hooks/{hook}/tests", webhooks::test).right(SignedIn).scope(write(User))
            .event(Event::HookTest).id("hooksTestOwn")
            .about("Send a test delivery of a webhook of the signed-in user").says(422, "It is not active")
        .get("/api/v1/user/hooks/{hook}/deliveries", deliveries::list).right(SignedIn).scope(read(User))
            .id("deliveriesListOwn").about("List deliveries of a webhook of the signed-in user, newest first")
        .get("/api/v1/user/hooks/{hook}/deliveries/{delivery}", deliveries::get).right(SignedIn).scope(read(User))
            .id("deliveriesGetOwn").about("Get a delivery of a webhook of the signed-in user, with its attempts")
        .post("/api/v1/user/hooks/{hook}/deliveries/{delivery}/attempts", deliveries::redeliver).right(SignedIn)
            .scope(write(User)).event(Event::HookRedeliver).id("deliveriesRedeliverOwn")
            .about("Redeliver a delivery of a webhook of the signed-in user").says(422, "It is not active")
        .get("/api/v1/orgs/{org}/hooks", webhooks::list).right(OrgOwner).scope(read(Organization))
            .id("hooksListOfOrg").about("List an organization's webhooks")
        .post("/api/v1/orgs/{org}/hooks", webhooks::create).right(OrgOwner).scope(write(Organization))
            .event(Event::HookCreate).id("hooksCreateOfOrg").about("Create a webhook for an organization")
        .get("/api/v1/orgs/{org}/hooks/{hook}", webhooks::get).right(OrgOwner).scope(read(Organization))
            .id("hooksGetOfOrg").about("Get a webhook of an organization")
        .patch("/api/v1/orgs/{org}/hooks/{hook}", webhooks::edit).right(OrgOwner).scope(write(Organization))
            .event(Event::HookUpdate).id("hooksEditOfOrg").about("Change a webhook of an organization")
        .delete("/api/v1/orgs/{org}/hooks/{hook}", webhooks::delete).right(OrgOwner).scope(write(Organization))
            .event(Event::HookDelete).id("hooksDeleteOfOrg")
            .about("Delete a webhook of an organization and its deliveries")
        .post("/api/v1/orgs/{org}/hooks/{hook}/tests", webhooks::test).right(OrgOwner).scope(write(Organization))
            .event(Event::HookTest).id("hooksTestOfOrg")
            .about("Send a test delivery of an organization's webhook")
            .says(422, "It is not active")
        .get("/api/v1/orgs/{org}/hooks/{hook}/deliveries", deliveries::list).right(OrgOwner).scope(read(Organization))
            .id("deliveriesListOfOrg").about("List deliveries of an organization's webhook, newest first")
        .get("/api/v1/orgs/{org}/hooks/{hook}/deliveries/{delivery}", deliveries::get).right(OrgOwner)
            .scope(read(Organization)).id("deliveriesGetOfOrg")
            .about("Get a delivery of an organization's webhook, with its attempts")
        .post("/api/v1/orgs/{org}/hooks/{hook}/deliveries/{delivery}/attempts", deliveries::redeliver).right(OrgOwner)
            .scope(write(Organization)).event(Event::HookRedeliver).id("deliveriesRedeliverOfOrg")
            .about("Redeliver a delivery of an organization's webhook").says(422, "It is not active")

        // Packages.
        .get("/api/v1/packages/search", search::search).right(Everybody).scope(read(Package)).id("search")
            .about("Search all packages the caller can read; one entry per version")
        .get("/api/v1/packages/{owner}", packages::list).right(Reader).scope(read(Package)).id("packagesList")
            .about("List an owner's packages, newest first; one entry per version")
        .get("/api/v1/packages/{owner}/-/retention", retention::list).right(Writer).scope(read(Package))
            .id("retentionList").about("List an owner's retention rules, in their order")
        .post("/api/v1/packages/{owner}/-/retention", retention::create).right(Owner).scope(write(Package))
            .event(Event::RetentionCreate).id("retentionCreate").about("Create a retention rule")
        .post("/api/v1/packages/{owner}/-/retention/preview", retention::preview).right(Writer).scope(read(Package))
            .id("retentionPreview").about("Preview what retention rules would delete now, and why")
        .get("/api/v1/packages/{owner}/-/retention/{rule}", retention::get).right(Writer).scope(read(Package))
            .id("retentionGet").about("Get a retention rule")
        .put("/api/v1/packages/{owner}/-/retention/{rule}", retention::replace).right(Owner).scope(write(Package))
            .event(Event::RetentionUpdate).id("retentionReplace").about("Replace a retention rule")
        .delete("/api/v1/packages/{owner}/-/retention/{rule}", retention::delete).right(Owner).scope(write(Package))
            .event(Event::RetentionDelete).id("retentionDelete").about("Delete a retention rule")
        .get("/api/v1/packages/{owner}/generic/{name}", packages::list_versions).right(Reader).scope(read(Package))
            .id("packagesListVersions").about("List the versions of a package")
        .delete("/api/v1/packages/{owner}/generic/{name}", packages::delete_package).right(Writer)
            .scope(write(Package)).event(Event::PackageDelete).id("packagesDeletePackage").about("Delete a package")
            .says(409, "A version of it is on hold")
        .post("/api/v1/packages/{owner}/generic/{name}/-/link/{repo}", packages::link).right(Everybody)
            .credentials(Ignored).id("packagesLink").about("Link a package to a repository: there are none")
            .says(404, "There are no repositories")
        .post("/api/v1/packages/{owner}/generic/{name}/-/unlink", packages::link).right(Everybody)
            .credentials(Ignored).id("packagesUnlink").about("Unlink a package from its repository: there are none")
            .says(404, "There are no repositories")
        .get("/api/v1/packages/{owner}/generic/{name}/-/latest", packages::latest).right(Reader).scope(read(Package))
            .id("packagesLatest").about("Get the latest version: the release with the highest number")
        .get("/api/v1/packages/{owner}/generic/{name}/-/compare", comparison::get).right(Reader).scope(read(Package))
            .id("comparisonGet").about("Compare the files of two versions")
        .get("/api/v1/packages/{owner}/generic/{name}/-/channels", channels::list).right(Reader).scope(read(Package))
            .id("channelsList").about("List the channels of a package, by name")
        .get("/api/v1/packages/{owner}/generic/{name}/-/channels/{channel}", channels::get).right(Reader)
            .scope(read(Package)).id("channelsGet").about("Get a channel")
        .put("/api/v1/packages/{owner}/generic/{name}/-/channels/{channel}", channels::set).right(Writer)
            .scope(write(Package)).event(Event::ChannelSet).id("channelsSet")
            .about("Make a channel stand for a version; creates the channel if it does not exist")
        .delete("/api/v1/packages/{owner}/generic/{name}/-/channels/{channel}", channels::delete).right(Writer)
            .scope(write(Package)).event(Event::ChannelDelete).id("channelsDelete").about("Delete a channel")
        .get("/api/v1/packages/{owner}/generic/{name}/-/settings", package_settings::get).right(Reader)
            .scope(read(Package)).id("packageSettingsGet").about("Get the settings of a package")
        .patch("/api/v1/packages/{owner}/generic/{name}", package_settings::edit).right(Writer).scope(write(Package))
            .event(Event::PackageUpdate).id("packageSettingsEdit").about("Change the settings of a package")
        .post("/api/v1/packages/{owner}/generic/{name}/{version}/publish", version_states::publish).right(Writer)
            .scope(write(Package)).event(Event::VersionPublish).id("versionStatesPublish").about("Publish a draft")
            .says(409, "The package is archived, or the files are not the expected ones; the message names them")
        .post("/api/v1/packages/{owner}/generic/{name}/{version}/seal", version_states::seal).right(Writer)
            .scope(write(Package)).event(Event::VersionSeal).id("versionStatesSeal")
            .about("Seal a version: after that, no file can be added, replaced or deleted").says(409, "It is a draft")
        .patch("/api/v1/packages/{owner}/generic/{name}/{version}", version_states::edit).right(Writer)
            .scope(write(Package)).event(Event::VersionUpdate).id("versionStatesEdit")
            .about("Change the notes, labels and flags of a version")
        .get("/api/v1/packages/{owner}/generic/{name}/{version}", packages::version).right(Reader)
            .scope(read(Package)).id("packagesVersion").about("Get a version")
        .delete("/api/v1/packages/{owner}/generic/{name}/{version}", packages::delete_version).right(Writer)
            .scope(write(Package)).event(Event::VersionDelete).id("packagesDeleteVersion").about("Delete a version")
            .says(409, "It is on hold")
        .get("/api/v1/packages/{owner}/-/trash", trash::list).right(Writer).scope(read(Package)).id("trashList")
            .about("List what can be restored, most recently deleted first")
        .post("/api/v1/packages/{owner}/-/trash/{entry}/restore", trash::restore).right(Writer).scope(write(Package))
            .event(Event::TrashRestore).id("trashRestore").about("Restore a deleted file, version or package")
            .says(403, "The owner's quota is exceeded; the message has the figures")
            .says(409, "The name is taken, the version is sealed, or the package is archived")
        .delete("/api/v1/packages/{owner}/-/trash/{entry}", trash::purge).right(OrgOwner).scope(write(Package))
            .event(Event::TrashPurge).id("trashPurge").about("Delete something in the trash for good")
        .get("/api/v1/packages/{owner}/generic/{name}/{version}/files", packages::list_files).right(Reader)
            .scope(read(Package)).id("packagesListFiles").about("List the files of a version, by name")
        .post("/api/v1/packages/{owner}/generic/{name}/{version}/copy", copies::copy).right(Writer)
            .scope(write(Package)).event(Event::VersionCopy).id("copiesCopy")
            .about("Copy files of another version to this one, without moving bytes")
        .post("/api/v1/packages/{owner}/generic/{name}/{version}/move", copies::relocate).right(Writer)
            .scope(write(Package)).event(Event::VersionMove).id("copiesMove")
            .about("Move files of another version to this one")
        .get("/api/v1/packages/{owner}/generic/{name}/{version}/archive.tar", archives::download::<archives::Tar>)
            .right(Reader).scope(read(Package)).cross_origin().id("archivesTar")
            .about("Download a version as a tar archive")
        .get("/api/v1/packages/{owner}/generic/{name}/{version}/archive.tar.gz", archives::download::<archives::TarGz>)
            .right(Reader).scope(read(Package)).cross_origin().id("archivesTarGz")
            .about("Download a version as a compressed tar archive")
        .get("/api/v1/packages/{owner}/generic/{name}/{version}/archive.zip", archives::download::<archives::Zip>)
            .right(Reader).scope(read(Package)).cross_origin().id("archivesZip")
            .about("Download a version as a zip archive")

        // Who may do what with an owner's packages.
        .get("/api/v1/packages/{owner}/-/grants", grants::list).right(Owner).scope(read(Organization))
            .id("grantsList").about("List an owner's grants: permissions of users, teams and robots for some packages")
        .post("/api/v1/packages/{owner}/-/grants", grants::create).right(Owner).scope(write(Organization))
            .event(Event::GrantCreate).id("grantsCreate")
            .about("Give a user, team or robot a permission for packages whose names match a pattern")
        .get("/api/v1/packages/{owner}/-/grants/{grant}", grants::get).right(Owner).scope(read(Organization))
            .id("grantsGet").about("Get a grant")
        .put("/api/v1/packages/{owner}/-/grants/{grant}", grants::edit).right(Owner)
            .scope(write(Organization)).event(Event::GrantUpdate).id("grantsEdit").about("Change a grant")
        .delete("/api/v1/packages/{owner}/-/grants/{grant}", grants::delete).right(Owner)
            .scope(write(Organization)).event(Event::GrantDelete).id("grantsDelete").about("Delete a grant")
        .get("/api/v1/packages/{owner}/-/protections", protections::list).right(Owner)
            .scope(read(Organization)).id("protectionsList").about("List an owner's protection rules, by name")
        .post("/api/v1/packages/{owner}/-/protections", protections::create).right(Owner)
            .scope(write(Organization)).event(Event::ProtectionCreate).id("protectionsCreate")
            .about("Create a rule for who may publish, replace and delete some versions")
        .get("/api/v1/packages/{owner}/-/protections/{protection}", protections::get).right(Owner)
            .scope(read(Organization)).id("protectionsGet").about("Get a protection rule")
        .put("/api/v1/packages/{owner}/-/protections/{protection}", protections::edit).right(Owner)
            .scope(write(Organization)).event(Event::ProtectionUpdate).id("protectionsEdit")
            .about("Change a protection rule")
        .delete("/api/v1/packages/{owner}/-/protections/{protection}", protections::delete).right(Owner)
            .scope(write(Organization)).event(Event::ProtectionDelete).id("protectionsDelete")
            .about("Delete a protection rule")
}
