//! Every address of the server, on one page: method, path, handler, and what it demands of its caller. The router is built
//! from this table, and so is the OpenAPI document; a handler that is not in it cannot be reached, and one that reads a
//! credential without it answers nothing.

use crate::api::endpoint::{Answer, Input};
use crate::api::error::answer as answer_error;
use crate::api::openapi::{self, Document, Entry};
use crate::api::webhooks::{self, deliveries};
use crate::api::{admin, audit, members, meta, orgs, packages, quotas, search, swagger, teams, tokens, users};
use crate::auth::call::judged;
use crate::auth::policy::AcceptedCredentials::{Any, Ignored, Own, Password, Token};
use crate::auth::policy::Right::{
    AnyUser, Everybody, Member, OrgOwner, Public, Reader, SelfOrAdmin, SignedIn, SiteAdmin, Writer,
};
use crate::auth::policy::{AcceptedCredentials, Policy, Right};
use crate::domain::role::{Area, Level};
use crate::error::Result;
use crate::generic::{self, files, listings, upload, versions};
use crate::http::description::Description;
use crate::http::middleware::Guard;
use crate::http::problem::{self, Shape};
use crate::ops;
use crate::registry::audit::Event;
use crate::state::App;
use crate::web::admin as web_admin;
use crate::web::delete;
use crate::web::manual;
use crate::web::page::Reply;
use crate::web::upload as web_upload;
use crate::web::{account, password, profile, register, security, token_new, tokens as web_tokens, two_factor};
use crate::web::{assets, download, error::answer as web_error, explore, home, login, theme, version};
use crate::web::{
    members as web_members, org_settings, orgs as web_orgs, teams as web_teams, webhooks as web_webhooks,
};
use crate::web::{packages as browse, versions as web_versions};
use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{FromRequest, Handler, HttpMessage, HttpRequest, HttpResponse, Responder, Route, guard, web};
use std::future::ready;
use std::path::Path;
use std::sync::Arc;

/// A row of the table.
pub struct Row {
    pub method: Method,
    /// As actix matches it; a `{name}` is one segment.
    pub path: &'static str,
    pub policy: Policy,
    /// In a few words, what it does.
    pub about: &'static str,
    /// By which the document calls the operation; empty for pages.
    id: &'static str,
    /// What it takes and answers; nothing for pages, which are for people.
    describe: Option<fn(&mut Description)>,
    also: Vec<(StatusCode, &'static str)>,
    route: Route,
}

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;

/// The scope that reads, and the one that writes.
const fn read(area: Area) -> Option<(Area, Level)> {
    Some((area, Level::Read))
}
const fn write(area: Area) -> Option<(Area, Level)> {
    Some((area, Level::Write))
}
const NO_SCOPE: Option<(Area, Level)> = None;

/// Which credentials, which scope a token needs, which right the user, and the record that a change leaves.
type Demands = (AcceptedCredentials, Option<(Area, Level)>, Right, Option<Event>);

/// The same of a page, which no token opens.
type PageDemands = (Option<(Area, Level)>, Right, Option<Event>);

use Area::{Admin, Organization, Package, User};

/// The table. What is more special stands before what would match it too.
#[rustfmt::skip]
pub fn table() -> Vec<Row> {
    vec![
        // Is it up, is it ready, how is it doing.
        plain(GET, "/livez", ops::livez, (Ignored, NO_SCOPE, Everybody, None), "Whether the process is up", ops::describe_lines).id("opsLivez"),
        plain(GET, "/readyz", ops::readyz, (Ignored, NO_SCOPE, Everybody, None), "Whether it can serve", ops::describe_ready).id("opsReadyz"),
        plain(GET, "/api/healthz", ops::healthz, (Ignored, NO_SCOPE, Everybody, None), "The same as JSON", ops::describe_health).id("opsHealthz"),
        plain(GET, "/metrics", ops::metrics, (Own, NO_SCOPE, Everybody, None), "Metrics for Prometheus", ops::describe_metrics).id("opsMetrics"),

        // The API's own description.
        plain(GET, "/api/openapi.json", openapi::document, (Ignored, NO_SCOPE, Everybody, None), "This document", openapi::describe_document).id("openapiDocument"),
        plain(GET, "/api/swagger", swagger::page, (Ignored, NO_SCOPE, Everybody, None), "This document as a page", swagger::describe_page).id("swaggerPage"),
        plain(GET, "/api/swagger/{asset}", swagger::asset, (Ignored, NO_SCOPE, Everybody, None), "What the page is made of", swagger::describe_asset).id("swaggerAsset"),

        // The generic package protocol.
        plain(GET, "/api/packages/{owner}/generic/{name}/{version}/{file}", files::download, (Any, read(Package), Reader, None), "Download a file", generic::describe::download).id("genericFilesDownload"),
        plain(PUT, "/api/packages/{owner}/generic/{name}/{version}/{file}", upload::upload, (Any, write(Package), Writer, Some(Event::FilePublish)), "Publish a file", generic::describe::upload).id("genericUpload"),
        plain(DELETE, "/api/packages/{owner}/generic/{name}/{version}/{file}", files::delete, (Any, write(Package), Writer, Some(Event::FileDelete)), "Delete a file", generic::describe::delete).id("genericFilesDelete"),
        plain(GET, "/api/packages/{owner}/generic/{name}/{version}", listings::files, (Any, read(Package), Reader, None), "List the files of a version", generic::describe::files).id("genericListingsFiles"),
        plain(DELETE, "/api/packages/{owner}/generic/{name}/{version}", versions::delete, (Any, write(Package), Writer, Some(Event::VersionDelete)), "Delete a version", generic::describe::delete).id("genericVersionsDelete"),
        plain(GET, "/api/packages/{owner}/generic/{name}", listings::versions, (Any, read(Package), Reader, None), "List the versions of a package", generic::describe::versions).id("genericListingsVersions"),

        // The REST API v1: what clients ask first.
        api(GET, "/api/v1/version", meta::version, (Ignored, NO_SCOPE, Everybody, None), "The server's version").id("metaVersion"),
        api(GET, "/api/v1/settings/api", meta::api_settings, (Ignored, NO_SCOPE, Everybody, None), "How much the API answers at most").id("metaApiSettings"),

        // Users and their tokens.
        api(GET, "/api/v1/user", users::me, (Any, read(User), SignedIn, None), "The user who asks").id("usersMe"),
        api(GET, "/api/v1/user/orgs", orgs::list_own, (Any, read(Organization), SignedIn, None), "List the organizations whose member asks, by name").id("orgsListOwn"),
        api(GET, "/api/v1/user/teams", teams::list_own, (Any, read(Organization), SignedIn, None), "List the teams whose member asks").id("teamsListOwn"),
        api(GET, "/api/v1/users/search", users::search, (Any, read(User), Everybody, None), "Find users by a part of their names").id("usersSearch"),
        api(GET, "/api/v1/users/{user}", users::get, (Any, read(User), Reader, None), "A user").id("usersGet"),
        api(GET, "/api/v1/users/{user}/orgs", orgs::list_of_user, (Any, read(Organization), Reader, None), "List a user's organizations, by name").id("orgsListOfUser"),
        api(GET, "/api/v1/users/{user}/tokens", tokens::list, (Password, NO_SCOPE, SelfOrAdmin, None), "List a user's access tokens").id("tokensList"),
        api(POST, "/api/v1/users/{user}/tokens", tokens::create, (Password, NO_SCOPE, SelfOrAdmin, Some(Event::TokenCreate)), "Make an access token").id("tokensCreate").says(400, "The user has a token of this name"),
        api(DELETE, "/api/v1/users/{user}/tokens/{token}", tokens::revoke, (Password, NO_SCOPE, SelfOrAdmin, Some(Event::TokenRevoke)), "Revoke an access token, by its id or its name").id("tokensRevoke"),
        api(GET, "/api/v1/token", tokens::get_in_use, (Token, NO_SCOPE, SignedIn, None), "The access token in use").id("tokensGetInUse"),
        api(DELETE, "/api/v1/token", tokens::revoke_in_use, (Token, NO_SCOPE, SignedIn, Some(Event::TokenRevoke)), "Revoke the access token in use").id("tokensRevokeInUse"),

        // What site administrators do.
        api(GET, "/api/v1/admin/users", admin::list, (Any, read(Admin), SiteAdmin, None), "List all users").id("adminList"),
        api(POST, "/api/v1/admin/users", admin::create, (Any, write(Admin), SiteAdmin, Some(Event::UserCreate)), "Make a user").id("adminCreate"),
        api(PATCH, "/api/v1/admin/users/{user}", admin::edit, (Any, write(Admin), SiteAdmin, Some(Event::UserUpdate)), "Change a user").id("adminEdit"),
        api(DELETE, "/api/v1/admin/users/{user}", admin::delete, (Any, write(Admin), SiteAdmin, Some(Event::UserDelete)), "Delete a user").id("adminDelete").says(422, "He owns packages, or is an organization's last owner, or the last administrator; the message says which"),
        api(POST, "/api/v1/admin/users/{user}/rename", admin::rename, (Any, write(Admin), SiteAdmin, Some(Event::UserRename)), "Give a user another name; the old one leads to him until it is taken").id("adminRename"),
        api(POST, "/api/v1/admin/users/{user}/orgs", admin::create_org, (Any, write(Admin), SiteAdmin, Some(Event::OrgCreate)), "Make an organization whose owner is the user").id("adminCreateOrg"),
        api(GET, "/api/v1/admin/orgs", admin::list_orgs, (Any, read(Admin), SiteAdmin, None), "List all organizations, by name").id("adminListOrgs"),

        // Organizations, teams, members.
        api(GET, "/api/v1/orgs", orgs::list, (Any, read(Organization), Everybody, None), "List the organizations that the caller may see, by name").id("orgsList"),
        api(POST, "/api/v1/orgs", orgs::create, (Any, write(Organization), SignedIn, Some(Event::OrgCreate)), "Make an organization").id("orgsCreate"),
        api(GET, "/api/v1/orgs/{org}", orgs::get, (Any, read(Organization), Reader, None), "An organization").id("orgsGet"),
        api(PATCH, "/api/v1/orgs/{org}", orgs::edit, (Any, write(Organization), OrgOwner, Some(Event::OrgUpdate)), "Change an organization").id("orgsEdit"),
        api(DELETE, "/api/v1/orgs/{org}", orgs::delete, (Any, write(Organization), OrgOwner, Some(Event::OrgDelete)), "Delete an organization").id("orgsDelete").says(422, "It owns packages; the message says how many"),
        api(POST, "/api/v1/orgs/{org}/rename", orgs::rename, (Any, write(Organization), OrgOwner, Some(Event::OrgRename)), "Give an organization another name; the old one leads to it until it is taken").id("orgsRename"),
        api(GET, "/api/v1/orgs/{org}/repos", orgs::list_repositories, (Any, read(Organization), Reader, None), "An organization's repositories: always none, for clients that ask before they delete one").id("orgsListRepositories"),
        api(GET, "/api/v1/orgs/{org}/members", members::list_of_org, (Any, read(Organization), Member, None), "List an organization's members, by name").id("membersListOfOrg"),
        api(GET, "/api/v1/orgs/{org}/members/{user}", members::is_in_org, (Any, read(Organization), Member, None), "Whether a user is a member; everybody may ask about himself").id("membersIsInOrg"),
        api(DELETE, "/api/v1/orgs/{org}/members/{user}", members::expel, (Any, write(Organization), OrgOwner, Some(Event::OrgMemberRemove)), "Take a user out of all teams; every member may take himself out").id("membersExpel"),
        api(GET, "/api/v1/orgs/{org}/teams", teams::list, (Any, read(Organization), Member, None), "List an organization's teams, by name").id("teamsList"),
        api(POST, "/api/v1/orgs/{org}/teams", teams::create, (Any, write(Organization), OrgOwner, Some(Event::TeamCreate)), "Make a team").id("teamsCreate"),
        api(GET, "/api/v1/orgs/{org}/teams/search", teams::search, (Any, read(Organization), Member, None), "Find teams by a part of their names").id("teamsSearch"),
        api(GET, "/api/v1/teams/{team}", teams::get, (Any, read(Organization), Member, None), "A team").id("teamsGet"),
        api(PATCH, "/api/v1/teams/{team}", teams::edit, (Any, write(Organization), OrgOwner, Some(Event::TeamUpdate)), "Change a team").id("teamsEdit"),
        api(DELETE, "/api/v1/teams/{team}", teams::delete, (Any, write(Organization), OrgOwner, Some(Event::TeamDelete)), "Delete a team").id("teamsDelete").says(422, "It is the team Owners"),
        api(GET, "/api/v1/teams/{team}/members", members::list_of_team, (Any, read(Organization), Member, None), "List a team's members, by name").id("membersListOfTeam"),
        api(GET, "/api/v1/teams/{team}/members/{user}", members::get_of_team, (Any, read(Organization), Member, None), "A member of a team").id("membersGetOfTeam"),
        api(PUT, "/api/v1/teams/{team}/members/{user}", members::add, (Any, write(Organization), OrgOwner, Some(Event::MemberAdd)), "Take a user into a team").id("membersAdd"),
        api(DELETE, "/api/v1/teams/{team}/members/{user}", members::remove, (Any, write(Organization), OrgOwner, Some(Event::MemberRemove)), "Take a user out of a team").id("membersRemove"),

        // The record of changes.
        api(GET, "/api/v1/admin/audit", audit::list, (Any, read(Admin), SiteAdmin, None), "Who changed what: the newest first, or all as lines of JSON").id("auditList"),

        // What owners may store.
        api(GET, "/api/v1/users/{user}/quota", quotas::of_user, (Any, read(User), SelfOrAdmin, None), "What a user may store, and what he does").id("quotasOfUser"),
        api(PATCH, "/api/v1/users/{user}/quota", quotas::set_for_user, (Any, write(Admin), SiteAdmin, Some(Event::OwnerQuota)), "Set what a user may store").id("quotasSetForUser"),
        api(GET, "/api/v1/orgs/{org}/quota", quotas::of_org, (Any, read(Organization), Member, None), "What an organization may store, and what it does").id("quotasOfOrg"),
        api(PATCH, "/api/v1/orgs/{org}/quota", quotas::set_for_org, (Any, write(Admin), SiteAdmin, Some(Event::OwnerQuota)), "Set what an organization may store").id("quotasSetForOrg"),

        // Webhooks of users and organizations, and what they told.
        api(GET, "/api/v1/user/hooks", webhooks::list, (Any, read(User), SignedIn, None), "List one's own webhooks").id("hooksListOwn"),
        api(POST, "/api/v1/user/hooks", webhooks::create, (Any, write(User), SignedIn, Some(Event::HookCreate)), "Make a webhook of one's own").id("hooksCreateOwn"),
        api(GET, "/api/v1/user/hooks/{hook}", webhooks::get, (Any, read(User), SignedIn, None), "A webhook of one's own").id("hooksGetOwn"),
        api(PATCH, "/api/v1/user/hooks/{hook}", webhooks::edit, (Any, write(User), SignedIn, Some(Event::HookUpdate)), "Change a webhook of one's own").id("hooksEditOwn"),
        api(DELETE, "/api/v1/user/hooks/{hook}", webhooks::delete, (Any, write(User), SignedIn, Some(Event::HookDelete)), "Delete a webhook of one's own, with what it told").id("hooksDeleteOwn"),
        api(POST, "/api/v1/user/hooks/{hook}/tests", webhooks::test, (Any, write(User), SignedIn, Some(Event::HookTest)), "Let a webhook of one's own tell of a package that does not exist").id("hooksTestOwn").says(422, "It is not active"),
        api(GET, "/api/v1/user/hooks/{hook}/deliveries", deliveries::list, (Any, read(User), SignedIn, None), "List what a webhook of one's own told, the newest first").id("deliveriesListOwn"),
        api(GET, "/api/v1/user/hooks/{hook}/deliveries/{delivery}", deliveries::get, (Any, read(User), SignedIn, None), "What a webhook of one's own told, and what was answered").id("deliveriesGetOwn"),
        api(POST, "/api/v1/user/hooks/{hook}/deliveries/{delivery}/attempts", deliveries::redeliver, (Any, write(User), SignedIn, Some(Event::HookRedeliver)), "Let a webhook of one's own tell something once more").id("deliveriesRedeliverOwn").says(422, "It is not active"),
        api(GET, "/api/v1/orgs/{org}/hooks", webhooks::list, (Any, read(Organization), OrgOwner, None), "List an organization's webhooks").id("hooksListOfOrg"),
        api(POST, "/api/v1/orgs/{org}/hooks", webhooks::create, (Any, write(Organization), OrgOwner, Some(Event::HookCreate)), "Make a webhook of an organization").id("hooksCreateOfOrg"),
        api(GET, "/api/v1/orgs/{org}/hooks/{hook}", webhooks::get, (Any, read(Organization), OrgOwner, None), "A webhook of an organization").id("hooksGetOfOrg"),
        api(PATCH, "/api/v1/orgs/{org}/hooks/{hook}", webhooks::edit, (Any, write(Organization), OrgOwner, Some(Event::HookUpdate)), "Change a webhook of an organization").id("hooksEditOfOrg"),
        api(DELETE, "/api/v1/orgs/{org}/hooks/{hook}", webhooks::delete, (Any, write(Organization), OrgOwner, Some(Event::HookDelete)), "Delete a webhook of an organization, with what it told").id("hooksDeleteOfOrg"),
        api(POST, "/api/v1/orgs/{org}/hooks/{hook}/tests", webhooks::test, (Any, write(Organization), OrgOwner, Some(Event::HookTest)), "Let a webhook of an organization tell of a package that does not exist").id("hooksTestOfOrg").says(422, "It is not active"),
        api(GET, "/api/v1/orgs/{org}/hooks/{hook}/deliveries", deliveries::list, (Any, read(Organization), OrgOwner, None), "List what a webhook of an organization told, the newest first").id("deliveriesListOfOrg"),
        api(GET, "/api/v1/orgs/{org}/hooks/{hook}/deliveries/{delivery}", deliveries::get, (Any, read(Organization), OrgOwner, None), "What a webhook of an organization told, and what was answered").id("deliveriesGetOfOrg"),
        api(POST, "/api/v1/orgs/{org}/hooks/{hook}/deliveries/{delivery}/attempts", deliveries::redeliver, (Any, write(Organization), OrgOwner, Some(Event::HookRedeliver)), "Let a webhook of an organization tell something once more").id("deliveriesRedeliverOfOrg").says(422, "It is not active"),

        // Packages.
        api(GET, "/api/v1/packages/search", search::search, (Any, read(Package), Everybody, None), "Search all packages that the caller may read, an entry a version").id("search"),
        api(GET, "/api/v1/packages/{owner}", packages::list, (Any, read(Package), Reader, None), "List an owner's packages, an entry a version, the newest first").id("packagesList"),
        api(GET, "/api/v1/packages/{owner}/generic/{name}", packages::list_versions, (Any, read(Package), Reader, None), "List the versions of a package").id("packagesListVersions"),
        api(DELETE, "/api/v1/packages/{owner}/generic/{name}", packages::delete_package, (Any, write(Package), Writer, Some(Event::PackageDelete)), "Delete a package").id("packagesDeletePackage"),
        api(GET, "/api/v1/packages/{owner}/generic/{name}/-/latest", packages::latest, (Any, read(Package), Reader, None), "The version that was made last").id("packagesLatest"),
        api(GET, "/api/v1/packages/{owner}/generic/{name}/{version}", packages::version, (Any, read(Package), Reader, None), "One version").id("packagesVersion"),
        api(DELETE, "/api/v1/packages/{owner}/generic/{name}/{version}", packages::delete_version, (Any, write(Package), Writer, Some(Event::VersionDelete)), "Delete a version").id("packagesDeleteVersion"),
        api(GET, "/api/v1/packages/{owner}/generic/{name}/{version}/files", packages::list_files, (Any, read(Package), Reader, None), "List the files of a version, by name").id("packagesListFiles"),

        // Pages: signing in and out.
        page(GET, "/login", login::form, (NO_SCOPE, Public, None)),
        page(POST, "/login", login::submit, (NO_SCOPE, Public, Some(Event::SessionBegin))),
        page(GET, "/login/two-factor", login::code_form, (NO_SCOPE, Public, None)),
        page(POST, "/login/two-factor", login::submit_code, (NO_SCOPE, Public, Some(Event::SessionBegin))),
        page(GET, "/register", register::form, (NO_SCOPE, Public, None)),
        page(POST, "/register", register::submit, (NO_SCOPE, Public, Some(Event::UserRegister))),
        page(POST, "/logout", login::logout, (NO_SCOPE, Public, Some(Event::SessionEnd))),
        page(POST, "/-/theme", theme::choose, (NO_SCOPE, Public, None)),

        // Pages: one's own account.
        page(GET, "/user/settings", profile::form, (NO_SCOPE, SignedIn, None)),
        page(POST, "/user/settings", profile::submit, (NO_SCOPE, SignedIn, Some(Event::UserUpdate))),
        page(GET, "/user/settings/email", account::email_form, (NO_SCOPE, SignedIn, None)),
        page(POST, "/user/settings/email", account::set_email, (NO_SCOPE, SignedIn, Some(Event::UserUpdate))),
        page(GET, "/user/settings/rename", account::rename_form, (NO_SCOPE, SignedIn, None)),
        page(POST, "/user/settings/rename", account::rename, (NO_SCOPE, SignedIn, Some(Event::UserRename))),
        page(GET, "/user/settings/delete", account::delete_form, (NO_SCOPE, SignedIn, None)),
        page(POST, "/user/settings/delete", account::delete, (NO_SCOPE, SignedIn, Some(Event::UserDelete))),
        page(GET, "/user/settings/password", password::form, (NO_SCOPE, AnyUser, None)),
        page(POST, "/user/settings/password", password::submit, (NO_SCOPE, AnyUser, Some(Event::UserPassword))),
        page(GET, "/user/settings/security", security::show, (NO_SCOPE, SignedIn, None)),
        page(POST, "/user/settings/security/sessions/end", security::end_session, (NO_SCOPE, SignedIn, Some(Event::SessionEnd))),
        page(POST, "/user/settings/security/sessions/end-all", security::end_all, (NO_SCOPE, SignedIn, Some(Event::SessionEndAll))),
        page(GET, "/user/settings/security/enroll", two_factor::enroll_form, (NO_SCOPE, SignedIn, None)),
        page(POST, "/user/settings/security/enroll", two_factor::submit_enroll, (NO_SCOPE, SignedIn, Some(Event::TwoFactorEnroll))),
        page(GET, "/user/settings/security/recovery-codes", two_factor::codes_form, (NO_SCOPE, SignedIn, None)),
        page(POST, "/user/settings/security/recovery-codes", two_factor::renew_codes, (NO_SCOPE, SignedIn, Some(Event::RecoveryCodes))),
        page(GET, "/user/settings/security/disable", two_factor::disable_form, (NO_SCOPE, SignedIn, None)),
        page(POST, "/user/settings/security/disable", two_factor::disable, (NO_SCOPE, SignedIn, Some(Event::TwoFactorRemove))),
        page(GET, "/user/settings/tokens", web_tokens::list, (NO_SCOPE, SignedIn, None)),
        page(GET, "/user/settings/tokens/new", token_new::form, (NO_SCOPE, SignedIn, None)),
        page(POST, "/user/settings/tokens/new", token_new::create, (NO_SCOPE, SignedIn, Some(Event::TokenCreate))),
        page(GET, "/user/settings/tokens/{token}/revoke", web_tokens::revoke_form, (NO_SCOPE, SignedIn, None)),
        page(POST, "/user/settings/tokens/{token}/revoke", web_tokens::revoke, (NO_SCOPE, SignedIn, Some(Event::TokenRevoke))),

        // Pages: organizations, their teams and members.
        page(GET, "/user/settings/organizations", web_orgs::own, (NO_SCOPE, SignedIn, None)),
        page(GET, "/org/create", web_orgs::create_form, (NO_SCOPE, SignedIn, None)),
        page(POST, "/org/create", web_orgs::create, (NO_SCOPE, SignedIn, Some(Event::OrgCreate))),
        page(GET, "/org/{org}/settings", org_settings::show, (NO_SCOPE, OrgOwner, None)),
        page(POST, "/org/{org}/settings", org_settings::update, (NO_SCOPE, OrgOwner, Some(Event::OrgUpdate))),
        page(POST, "/org/{org}/settings/rename", org_settings::rename, (NO_SCOPE, OrgOwner, Some(Event::OrgRename))),
        page(POST, "/org/{org}/settings/delete", org_settings::delete, (NO_SCOPE, OrgOwner, Some(Event::OrgDelete))),
        page(GET, "/org/{org}/teams", web_teams::list, (NO_SCOPE, Member, None)),
        page(POST, "/org/{org}/teams", web_teams::create, (NO_SCOPE, OrgOwner, Some(Event::TeamCreate))),
        page(GET, "/org/{org}/teams/{team}", web_teams::show, (NO_SCOPE, Member, None)),
        page(POST, "/org/{org}/teams/{team}", web_teams::update, (NO_SCOPE, OrgOwner, Some(Event::TeamUpdate))),
        page(POST, "/org/{org}/teams/{team}/delete", web_teams::delete, (NO_SCOPE, OrgOwner, Some(Event::TeamDelete))),
        page(POST, "/org/{org}/teams/{team}/members", web_teams::add_member, (NO_SCOPE, OrgOwner, Some(Event::MemberAdd))),
        page(POST, "/org/{org}/teams/{team}/members/{user}/remove", web_teams::remove_member, (NO_SCOPE, OrgOwner, Some(Event::MemberRemove))),
        page(GET, "/org/{org}/members", web_members::list, (NO_SCOPE, Member, None)),
        page(GET, "/org/{org}/members/{user}/remove", web_members::remove_form, (NO_SCOPE, OrgOwner, None)),
        page(POST, "/org/{org}/members/{user}/remove", web_members::remove, (NO_SCOPE, OrgOwner, Some(Event::OrgMemberRemove))),

        // Pages: webhooks.
        page(GET, "/user/settings/hooks", web_webhooks::list, (NO_SCOPE, SignedIn, None)),
        page(GET, "/user/settings/hooks/new", web_webhooks::create_form, (NO_SCOPE, SignedIn, None)),
        page(POST, "/user/settings/hooks/new", web_webhooks::create, (NO_SCOPE, SignedIn, Some(Event::HookCreate))),
        page(GET, "/user/settings/hooks/{hook}", web_webhooks::show, (NO_SCOPE, SignedIn, None)),
        page(POST, "/user/settings/hooks/{hook}", web_webhooks::update, (NO_SCOPE, SignedIn, Some(Event::HookUpdate))),
        page(POST, "/user/settings/hooks/{hook}/delete", web_webhooks::delete, (NO_SCOPE, SignedIn, Some(Event::HookDelete))),
        page(POST, "/user/settings/hooks/{hook}/tests", web_webhooks::test, (NO_SCOPE, SignedIn, Some(Event::HookTest))),
        page(GET, "/user/settings/hooks/{hook}/deliveries/{delivery}", web_webhooks::delivery::show, (NO_SCOPE, SignedIn, None)),
        page(POST, "/user/settings/hooks/{hook}/deliveries/{delivery}/attempts", web_webhooks::delivery::redeliver, (NO_SCOPE, SignedIn, Some(Event::HookRedeliver))),
        page(GET, "/org/{org}/settings/hooks", web_webhooks::list, (NO_SCOPE, OrgOwner, None)),
        page(GET, "/org/{org}/settings/hooks/new", web_webhooks::create_form, (NO_SCOPE, OrgOwner, None)),
        page(POST, "/org/{org}/settings/hooks/new", web_webhooks::create, (NO_SCOPE, OrgOwner, Some(Event::HookCreate))),
        page(GET, "/org/{org}/settings/hooks/{hook}", web_webhooks::show, (NO_SCOPE, OrgOwner, None)),
        page(POST, "/org/{org}/settings/hooks/{hook}", web_webhooks::update, (NO_SCOPE, OrgOwner, Some(Event::HookUpdate))),
        page(POST, "/org/{org}/settings/hooks/{hook}/delete", web_webhooks::delete, (NO_SCOPE, OrgOwner, Some(Event::HookDelete))),
        page(POST, "/org/{org}/settings/hooks/{hook}/tests", web_webhooks::test, (NO_SCOPE, OrgOwner, Some(Event::HookTest))),
        page(GET, "/org/{org}/settings/hooks/{hook}/deliveries/{delivery}", web_webhooks::delivery::show, (NO_SCOPE, OrgOwner, None)),
        page(POST, "/org/{org}/settings/hooks/{hook}/deliveries/{delivery}/attempts", web_webhooks::delivery::redeliver, (NO_SCOPE, OrgOwner, Some(Event::HookRedeliver))),

        // Pages: administration.
        page(GET, "/-/admin", web_admin::overview, (read(Admin), SiteAdmin, None)),
        page(GET, "/-/admin/users", web_admin::users::list, (read(Admin), SiteAdmin, None)),
        page(GET, "/-/admin/users/new", web_admin::users::new, (read(Admin), SiteAdmin, None)),
        page(POST, "/-/admin/users/new", web_admin::users::create, (write(Admin), SiteAdmin, Some(Event::UserCreate))),
        page(GET, "/-/admin/users/{user}", web_admin::user::page, (read(Admin), SiteAdmin, None)),
        page(POST, "/-/admin/users/{user}/lock", web_admin::user::lock, (write(Admin), SiteAdmin, Some(Event::UserLock))),
        page(POST, "/-/admin/users/{user}/unlock", web_admin::user::unlock, (write(Admin), SiteAdmin, Some(Event::UserUnlock))),
        page(POST, "/-/admin/users/{user}/approve", web_admin::user::approve, (write(Admin), SiteAdmin, Some(Event::UserApprove))),
        page(GET, "/-/admin/users/{user}/edit", web_admin::user::edit_form, (read(Admin), SiteAdmin, None)),
        page(POST, "/-/admin/users/{user}/edit", web_admin::user::edit, (write(Admin), SiteAdmin, Some(Event::UserUpdate))),
        page(GET, "/-/admin/users/{user}/password", web_admin::user::password_form, (read(Admin), SiteAdmin, None)),
        page(POST, "/-/admin/users/{user}/password", web_admin::user::set_password, (write(Admin), SiteAdmin, Some(Event::UserUpdate))),
        page(GET, "/-/admin/users/{user}/role", web_admin::user::role_form, (read(Admin), SiteAdmin, None)),
        page(POST, "/-/admin/users/{user}/role", web_admin::user::set_role, (write(Admin), SiteAdmin, Some(Event::UserUpdate))),
        page(GET, "/-/admin/users/{user}/second-factor", web_admin::user::factor_form, (read(Admin), SiteAdmin, None)),
        page(POST, "/-/admin/users/{user}/second-factor", web_admin::user::reset_factor, (write(Admin), SiteAdmin, Some(Event::TwoFactorRemove))),
        page(GET, "/-/admin/users/{user}/rename", web_admin::user::rename_form, (read(Admin), SiteAdmin, None)),
        page(POST, "/-/admin/users/{user}/rename", web_admin::user::rename, (write(Admin), SiteAdmin, Some(Event::UserRename))),
        page(GET, "/-/admin/users/{user}/delete", web_admin::user::delete_form, (read(Admin), SiteAdmin, None)),
        page(POST, "/-/admin/users/{user}/delete", web_admin::user::delete, (write(Admin), SiteAdmin, Some(Event::UserDelete))),
        page(GET, "/-/admin/users/{user}/quota", web_admin::quota::of_user, (read(Admin), SiteAdmin, None)),
        page(POST, "/-/admin/users/{user}/quota", web_admin::quota::set_for_user, (write(Admin), SiteAdmin, Some(Event::OwnerQuota))),
        page(GET, "/-/admin/orgs", web_admin::owners::orgs, (read(Admin), SiteAdmin, None)),
        page(GET, "/-/admin/orgs/{org}/quota", web_admin::quota::of_org, (read(Admin), SiteAdmin, None)),
        page(POST, "/-/admin/orgs/{org}/quota", web_admin::quota::set_for_org, (write(Admin), SiteAdmin, Some(Event::OwnerQuota))),
        page(GET, "/-/admin/packages", web_admin::owners::packages, (read(Admin), SiteAdmin, None)),
        page(GET, "/-/admin/audit", web_admin::audit::list, (read(Admin), SiteAdmin, None)),
        page(GET, "/-/admin/audit/export", web_admin::audit::export, (read(Admin), SiteAdmin, None)),
        page(GET, "/-/admin/system", web_admin::system::page, (read(Admin), SiteAdmin, None)),
        page(POST, "/-/admin/system/tasks/{task}", web_admin::system::start, (write(Admin), SiteAdmin, Some(Event::TaskStart))),

        // Pages: uploading and deleting.
        page(GET, "/{owner}/-/upload", web_upload::page, (write(Package), Writer, None)),
        page(POST, "/{owner}/-/upload", web_upload::form::submit, (write(Package), Writer, Some(Event::FilePublish))),
        page(PUT, "/{owner}/-/upload/{name}/{version}/{file}", web_upload::raw::put, (write(Package), Writer, Some(Event::FilePublish))),
        page(GET, "/{owner}/-/packages/settings/generic/{name}", delete::package_settings, (write(Package), Writer, None)),
        page(POST, "/{owner}/-/packages/settings/generic/{name}/delete", delete::delete_package, (write(Package), Writer, Some(Event::PackageDelete))),
        page(GET, "/{owner}/-/packages/generic/{name}/{version}/delete", delete::version_form, (write(Package), Writer, None)),
        page(POST, "/{owner}/-/packages/generic/{name}/{version}/delete", delete::delete_version, (write(Package), Writer, Some(Event::VersionDelete))),
        page(GET, "/{owner}/-/packages/generic/{name}/{version}/files/{id}/delete", delete::file_form, (write(Package), Writer, None)),
        page(POST, "/{owner}/-/packages/generic/{name}/{version}/files/{id}/delete", delete::delete_file, (write(Package), Writer, Some(Event::FileDelete))),

        // Pages: browsing.
        page(GET, "/", home::home, (NO_SCOPE, Everybody, None)),
        page(GET, "/explore", explore::owners, (NO_SCOPE, Everybody, None)),
        page(GET, "/explore/packages", explore::packages, (NO_SCOPE, Everybody, None)),

        // Pages: the manual.
        page(GET, "/docs", manual::page, (NO_SCOPE, Everybody, None)),
        page(GET, "/docs/{page:.*}", manual::page, (NO_SCOPE, Everybody, None)),

        // Pages: an owner's. They come last, as a name could be any first segment.
        page(GET, "/{owner}", browse::of_owner, (NO_SCOPE, Reader, None)),
        page(GET, "/{owner}/-/packages", browse::of_owner, (NO_SCOPE, Reader, None)),
        page(GET, "/{owner}/-/packages/generic/{name}", browse::newest, (NO_SCOPE, Reader, None)),
        page(GET, "/{owner}/-/packages/generic/{name}/versions", web_versions::list, (NO_SCOPE, Reader, None)),
        page(GET, "/{owner}/-/packages/generic/{name}/{version}", version::page, (NO_SCOPE, Reader, None)),
        saved(GET, "/{owner}/-/packages/generic/{name}/{version}/files/{id}", download::file, (NO_SCOPE, Reader, None)),
    ]
}

/// A route of the REST API. What it takes and answers is said by the handler's types.
fn api<F, I, A>(method: Method, path: &'static str, handler: F, demands: Demands, about: &'static str) -> Row
where
    F: Handler<I, Output = Result<A>>,
    I: FromRequest + Input + 'static,
    A: Answer + 'static,
{
    let answering = move |req: HttpRequest, app: web::Data<Arc<App>>, inputs: I| {
        let done = handler.call(inputs);
        async move {
            match done.await {
                Ok(answer) => answer.respond(),
                Err(error) => answer_error(&req, &app, &judged(&req, &app, error).await),
            }
        }
    };
    let describe = |description: &mut Description| {
        I::describe(description);
        A::describe(description);
    };
    row(method, path, answering, demands, about, Some(describe))
}

/// A route whose handler answers by itself, and says apart what it takes and answers.
fn plain<F, I>(
    method: Method,
    path: &'static str,
    handler: F,
    demands: Demands,
    about: &'static str,
    describe: fn(&mut Description),
) -> Row
where
    F: Handler<I, Output: Responder>,
    I: FromRequest + 'static,
{
    row(method, path, handler, demands, about, Some(describe))
}

/// A page, which looks at the cookie of a session and at nothing else. What goes wrong is a page too.
fn page<F, I>(method: Method, path: &'static str, handler: F, (scope, right, event): PageDemands) -> Row
where
    F: Handler<I, Output = Result<Reply>>,
    I: FromRequest + 'static,
{
    let answering = move |req: HttpRequest, app: web::Data<Arc<App>>, inputs: I| {
        let done = handler.call(inputs);
        async move {
            let reply = match done.await {
                Ok(reply) => reply,
                Err(error) => web_error(&req, &app, error).await,
            };
            reply.finish(&req, &app)
        }
    };
    row(method, path, answering, (AcceptedCredentials::Session, scope, right, event), "", None)
}

/// What a browser saves: it looks at the same cookie as a page, and what goes wrong is a page.
fn saved<F, I>(method: Method, path: &'static str, handler: F, (scope, right, event): PageDemands) -> Row
where
    F: Handler<I, Output = Result<HttpResponse>>,
    I: FromRequest + 'static,
{
    let answering = move |req: HttpRequest, app: web::Data<Arc<App>>, inputs: I| {
        let done = handler.call(inputs);
        async move {
            match done.await {
                Ok(response) => response,
                Err(error) => web_error(&req, &app, error).await.finish(&req, &app),
            }
        }
    };
    row(method, path, answering, (AcceptedCredentials::Session, scope, right, event), "", None)
}

fn row<F, I>(
    method: Method,
    path: &'static str,
    handler: F,
    (credentials, scope, right, event): Demands,
    about: &'static str,
    describe: Option<fn(&mut Description)>,
) -> Row
where
    F: Handler<I, Output: Responder>,
    I: FromRequest + 'static,
{
    let policy = Policy { credentials, scope, right, event };
    let route = match method {
        Method::GET => web::route().guard(guard::Any(guard::Get()).or(guard::Head())),
        ref other => web::method(other.clone()),
    };
    let route = route.to(move |req: HttpRequest, inputs: I| {
        req.extensions_mut().insert(policy);
        handler.call(inputs)
    });
    Row { method, path, policy, about, id: "", describe, also: Vec::new(), route }
}

impl Row {
    /// Names the operation in the document. Generated clients name their functions by it, so it never changes.
    fn id(mut self, id: &'static str) -> Self {
        self.id = id;
        self
    }

    /// Adds an answer that neither its policy nor its handler's types foresee.
    fn says(mut self, status: u16, about: &'static str) -> Self {
        self.also.extend(StatusCode::from_u16(status).ok().map(|status| (status, about)));
        self
    }

    /// What it takes and answers, if it is for programs.
    fn description(&self) -> Option<Description> {
        let mut description = Description::default();
        self.describe?(&mut description);
        if self.method == GET && ["{owner}", "{org}", "{user}"].iter().any(|name| self.path.contains(name)) {
            let about = "The owner has another name now; Location says where";
            description.answers(StatusCode::TEMPORARY_REDIRECT, about);
        }
        for (status, about) in &self.also {
            description.refuses(*status, about);
        }
        Some(description)
    }
}

/// The document that describes the table; `root` is the site's own address, if it is known.
pub fn document(root: Option<&str>) -> Document {
    let rows = table();
    let entries = rows.iter().filter_map(|row| {
        Some(Entry {
            method: &row.method,
            path: row.path,
            policy: row.policy,
            about: row.about,
            id: row.id,
            description: row.description()?,
        })
    });
    Document::new(entries, root)
}

/// Adds every route. An address that is there answers any other method with 405 and says which it has.
pub fn configure(config: &mut web::ServiceConfig, assets_dir: &Path) {
    let mut paths: Vec<(&'static str, Vec<Row>)> = Vec::new();
    for row in table() {
        match paths.iter_mut().find(|(path, _)| *path == row.path) {
            Some((_, rows)) => rows.push(row),
            None => paths.push((row.path, vec![row])),
        }
    }
    for (path, rows) in paths {
        let mut methods: Vec<&str> = rows.iter().map(|row| row.method.as_str()).collect();
        if let Some(at) = methods.iter().position(|method| *method == "GET") {
            methods.insert(at + 1, "HEAD");
        }
        let allowed = methods.join(", ");
        let resource = web::resource(path);
        let resource = rows.into_iter().fold(resource, |resource, row| resource.route(row.route));
        config.service(resource.default_service(web::to(move |req| ready(wrong_method(&req, &allowed)))));
    }
    config.service(assets::service(assets_dir));
}

fn wrong_method(req: &HttpRequest, allowed: &str) -> HttpResponse {
    let message = format!("this address answers {allowed} alone");
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let guard = req.app_data::<web::Data<Guard>>();
    let root = guard.map_or("", |guard| &guard.root);
    let mut response = problem::line(status, "method_not_allowed", &message, Shape::of(req), root);
    if let Ok(allowed) = HeaderValue::from_str(allowed) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}
