//! The routes of the pages. They accept session cookies and no other credential.

use super::table::{Interface, Routes, Serve, Service, read, write};
use crate::auth::policy::AcceptedCredentials::{self, Feed, Session, SessionOrAny};
use crate::auth::policy::Right::{
    AnyUser, Everybody, Member, OrgOwner, Owner, PackageAdmin, Public, Reader, SignedIn, SiteAdmin, Writer,
};
use crate::domain::role::Area::{Admin, Package};
use crate::error::Result;
use crate::registry::audit::Event;
use crate::state::App;
use crate::web::error::render_error;
use crate::web::page::Reply;
use crate::web::{
    access, account, admin, copies, delete, download, explore, home, login, login_code, manual, members, org_settings,
    orgs, version_edit,
};
use crate::web::{channels, compare, email_link, feeds, identities, logout, notifications, oidc};
use crate::web::{
    package_settings, package_visibility, packages, passkey_sign_in, passkeys, password, profile, publishers, register,
    retention, robots, security, teams, theme, token_new, tokens, two_factor,
};
use crate::web::{site_files, trash, upload, version, versions, webhooks};
use actix_web::{FromRequest, Handler, HttpRequest, web};
use std::sync::Arc;

/// The pages: errors are pages too.
pub(super) struct Web;

impl Interface for Web {
    const CREDENTIALS: AcceptedCredentials = Session;
}

impl<F, I> Serve<Web, I> for F
where
    F: Handler<I, Output = Result<Reply>>,
    I: FromRequest + 'static,
{
    fn service(self) -> Service {
        let answer = move |req: HttpRequest, app: web::Data<Arc<App>>, inputs: I| {
            let done = self.call(inputs);
            async move {
                let reply = match done.await {
                    Ok(reply) => reply,
                    Err(error) => render_error(&req, &app, error).await,
                };
                reply.finish(&req, &app)
            }
        };
        Service::new(answer, None)
    }
}

#[rustfmt::skip]
pub(super) fn routes() -> Routes<Web> {
    Routes::new()
        // Pages: signing in and out.
        .get("/login", login::form).right(Public)
        .post("/login", login::submit).right(Public).event(Event::SessionBegin)
        .get("/login/two-factor", login_code::form).right(Public)
        .post("/login/two-factor", login_code::submit).right(Public).event(Event::SessionBegin)
        .post("/login/two-factor/passkey", passkey_sign_in::prove_second_factor).right(Public)
            .event(Event::SessionBegin)
        .post("/login/passkey/options", passkey_sign_in::options).right(Public)
        .post("/login/passkey", passkey_sign_in::sign_in).right(Public).event(Event::SessionBegin)
        .post("/login/passkey/confirm", passkey_sign_in::confirm).right(AnyUser)
        .get("/login/forgot", email_link::forgot_form).right(Public)
        .post("/login/forgot", email_link::forget).right(Public).event(Event::PasswordResetRequest)
        .get("/login/reset", email_link::reset_form).right(Public)
        .post("/login/reset", email_link::reset).right(Public).event(Event::PasswordReset)
        .get("/login/invitation", email_link::invitation_form).right(Public)
        .post("/login/invitation", email_link::accept_invitation).right(Public).event(Event::InvitationAccept)
        .get("/login/confirm-email", email_link::confirm_form).right(Public)
        .post("/login/confirm-email", email_link::confirm).right(Public).event(Event::EmailConfirm)
        .get("/register", register::form).right(Public)
        .post("/register", register::submit).right(Public).event(Event::UserRegister)
        .get("/login/oidc/{provider}", oidc::start).right(Public)
        .get("/login/oidc/{provider}/callback", oidc::callback).right(Public)
        .get("/login/oidc/{provider}/confirm", oidc::confirm).right(AnyUser)
        .get("/login/oidc/{provider}/signed-out", logout::signed_out).right(Public)
        .get("/user/oauth2/{provider}/callback", oidc::gitea_callback).right(Public)
        .post("/logout", logout::logout).right(Public).event(Event::SessionEnd)
        .post("/-/theme", theme::choose).right(Public)

        // Pages: one's own account.
        .get("/user/settings", profile::form).right(SignedIn)
        .post("/user/settings", profile::submit).right(SignedIn).event(Event::UserUpdate)
        .get("/user/settings/email", account::email_form).right(SignedIn)
        .post("/user/settings/email", account::set_email).right(SignedIn).event(Event::UserUpdate)
        .get("/user/settings/rename", account::rename_form).right(SignedIn)
        .post("/user/settings/rename", account::rename).right(SignedIn).event(Event::UserRename)
        .get("/user/settings/delete", account::delete_form).right(SignedIn)
        .post("/user/settings/delete", account::delete).right(SignedIn).event(Event::UserDelete)
        .get("/user/settings/password", password::form).right(AnyUser)
        .post("/user/settings/password", password::submit).right(AnyUser).event(Event::UserPassword)
        .get("/user/settings/security", security::show).right(SignedIn)
        .post("/user/settings/security/sessions/end", security::end_session).right(SignedIn).event(Event::SessionEnd)
        .post("/user/settings/security/sessions/end-all", security::end_all).right(SignedIn)
            .event(Event::SessionEndAll)
        .get("/user/settings/security/enroll", two_factor::enroll_form).right(SignedIn)
        .post("/user/settings/security/enroll", two_factor::submit_enroll).right(SignedIn)
            .event(Event::TwoFactorEnroll)
        .get("/user/settings/security/recovery-codes", two_factor::codes_form).right(SignedIn)
        .post("/user/settings/security/recovery-codes", two_factor::renew_codes).right(SignedIn)
            .event(Event::RecoveryCodes)
        .get("/user/settings/security/disable", two_factor::disable_form).right(SignedIn)
        .post("/user/settings/security/disable", two_factor::disable).right(SignedIn).event(Event::TwoFactorRemove)
        .get("/user/settings/security/enroll-passkeys", two_factor::passkeys_form).right(SignedIn)
        .post("/user/settings/security/enroll-passkeys", two_factor::require_passkeys).right(SignedIn)
            .event(Event::TwoFactorEnroll)
        .get("/user/settings/security/passkeys/new", passkeys::new_form).right(SignedIn)
        .post("/user/settings/security/passkeys/options", passkeys::options).right(SignedIn)
        .post("/user/settings/security/passkeys/new", passkeys::add).right(SignedIn).event(Event::PasskeyAdd)
        .get("/user/settings/security/passkeys/{passkey}/rename", passkeys::rename_form).right(SignedIn)
        .post("/user/settings/security/passkeys/{passkey}/rename", passkeys::rename).right(SignedIn)
            .event(Event::PasskeyRename)
        .get("/user/settings/security/passkeys/{passkey}/remove", passkeys::remove_form).right(SignedIn)
        .post("/user/settings/security/passkeys/{passkey}/remove", passkeys::remove).right(SignedIn)
            .event(Event::PasskeyRemove)
        .get("/user/settings/notifications", notifications::form).right(SignedIn)
        .post("/user/settings/notifications", notifications::submit).right(SignedIn).event(Event::UserUpdate)
        .get("/user/settings/security/identities/{provider}/link", identities::link_form).right(SignedIn)
        .post("/user/settings/security/identities/{provider}/link", identities::link).right(SignedIn)
        .get("/user/settings/security/identities/{identity}/unlink", identities::unlink_form).right(SignedIn)
        .post("/user/settings/security/identities/{identity}/unlink", identities::unlink).right(SignedIn)
            .event(Event::IdentityUnlink)
        .get("/user/settings/tokens", tokens::list).right(SignedIn)
        .get("/user/settings/tokens/new", token_new::form).right(SignedIn)
        .post("/user/settings/tokens/new", token_new::create).right(SignedIn).event(Event::TokenCreate)
        .get("/user/settings/tokens/{token}/revoke", tokens::revoke_form).right(SignedIn)
        .post("/user/settings/tokens/{token}/revoke", tokens::revoke).right(SignedIn).event(Event::TokenRevoke)

        // Pages: organizations, their teams and members.
        .get("/user/settings/organizations", orgs::own).right(SignedIn)
        .get("/org/create", orgs::create_form).right(SignedIn)
        .post("/org/create", orgs::create).right(SignedIn).event(Event::OrgCreate)
        .get("/org/{org}/settings", org_settings::show).right(OrgOwner)
        .post("/org/{org}/settings", org_settings::update).right(OrgOwner).event(Event::OrgUpdate)
        .post("/org/{org}/settings/rename", org_settings::rename).right(OrgOwner).event(Event::OrgRename)
        .post("/org/{org}/settings/delete", org_settings::delete).right(OrgOwner).event(Event::OrgDelete)
        .get("/org/{org}/teams", teams::list).right(Member)
        .post("/org/{org}/teams", teams::create).right(OrgOwner).event(Event::TeamCreate)
        .get("/org/{org}/teams/{team}", teams::show).right(Member)
        .post("/org/{org}/teams/{team}", teams::update).right(OrgOwner).event(Event::TeamUpdate)
        .post("/org/{org}/teams/{team}/delete", teams::delete).right(OrgOwner).event(Event::TeamDelete)
        .post("/org/{org}/teams/{team}/members", teams::add_member).right(OrgOwner).event(Event::MemberAdd)
        .post("/org/{org}/teams/{team}/members/{user}/remove", teams::remove_member).right(OrgOwner)
            .event(Event::MemberRemove)
        .get("/org/{org}/members", members::list).right(Member)
        .get("/org/{org}/members/{user}/remove", members::remove_form).right(OrgOwner)
        .post("/org/{org}/members/{user}/remove", members::remove).right(OrgOwner).event(Event::OrgMemberRemove)
        .get("/org/{org}/robots", robots::list).right(OrgOwner)
        .post("/org/{org}/robots", robots::create).right(OrgOwner).event(Event::RobotCreate)
        .get("/org/{org}/robots/{robot}", robots::show).right(OrgOwner)
        .post("/org/{org}/robots/{robot}", robots::update).right(OrgOwner).event(Event::RobotUpdate)
        .post("/org/{org}/robots/{robot}/delete", robots::delete).right(OrgOwner).event(Event::RobotDelete)
        .post("/org/{org}/robots/{robot}/grants", robots::create_grant).right(OrgOwner).event(Event::GrantCreate)
        .post("/org/{org}/robots/{robot}/grants/{grant}/delete", robots::delete_grant).right(OrgOwner)
            .event(Event::GrantDelete)
        .post("/org/{org}/robots/{robot}/tokens", robots::create_token).right(OrgOwner).event(Event::TokenCreate)
        .post("/org/{org}/robots/{robot}/tokens/{token}/revoke", robots::revoke_token).right(OrgOwner)
            .event(Event::TokenRevoke)

        // Pages: who may do what with an owner's packages.
        .get("/{owner}/-/access", access::show).right(Owner)
        .post("/{owner}/-/access/grants", access::create_grant).right(Owner).event(Event::GrantCreate)
        .post("/{owner}/-/access/grants/{grant}/delete", access::delete_grant).right(Owner)
            .event(Event::GrantDelete)
        .post("/{owner}/-/access/protections", access::create_protection).right(Owner)
            .event(Event::ProtectionCreate)
        .post("/{owner}/-/access/protections/{protection}/delete", access::delete_protection).right(Owner)
            .event(Event::ProtectionDelete)

        // Pages: trusted publishers.
        .get("/{owner}/-/publishers", publishers::show).right(Owner)
        .post("/{owner}/-/publishers", publishers::create).right(Owner).event(Event::PublisherCreate)
        .get("/{owner}/-/publishers/{publisher}/edit", publishers::edit_form).right(Owner)
        .post("/{owner}/-/publishers/{publisher}/edit", publishers::edit).right(Owner).event(Event::PublisherUpdate)
        .post("/{owner}/-/publishers/{publisher}/delete", publishers::delete).right(Owner)
            .event(Event::PublisherDelete)

        // Pages: webhooks.
        .get("/user/settings/hooks", webhooks::list).right(SignedIn)
        .get("/user/settings/hooks/new", webhooks::create_form).right(SignedIn)
        .post("/user/settings/hooks/new", webhooks::create).right(SignedIn).event(Event::HookCreate)
        .get("/user/settings/hooks/{hook}", webhooks::show).right(SignedIn)
        .post("/user/settings/hooks/{hook}", webhooks::update).right(SignedIn).event(Event::HookUpdate)
        .post("/user/settings/hooks/{hook}/delete", webhooks::delete).right(SignedIn).event(Event::HookDelete)
        .post("/user/settings/hooks/{hook}/tests", webhooks::test).right(SignedIn).event(Event::HookTest)
        .get("/user/settings/hooks/{hook}/deliveries/{delivery}", webhooks::delivery::show).right(SignedIn)
        .post("/user/settings/hooks/{hook}/deliveries/{delivery}/attempts", webhooks::delivery::redeliver)
            .right(SignedIn).event(Event::HookRedeliver)
        .get("/org/{org}/settings/hooks", webhooks::list).right(OrgOwner)
        .get("/org/{org}/settings/hooks/new", webhooks::create_form).right(OrgOwner)
        .post("/org/{org}/settings/hooks/new", webhooks::create).right(OrgOwner).event(Event::HookCreate)
        .get("/org/{org}/settings/hooks/{hook}", webhooks::show).right(OrgOwner)
        .post("/org/{org}/settings/hooks/{hook}", webhooks::update).right(OrgOwner).event(Event::HookUpdate)
        .post("/org/{org}/settings/hooks/{hook}/delete", webhooks::delete).right(OrgOwner).event(Event::HookDelete)
        .post("/org/{org}/settings/hooks/{hook}/tests", webhooks::test).right(OrgOwner).event(Event::HookTest)
        .get("/org/{org}/settings/hooks/{hook}/deliveries/{delivery}", webhooks::delivery::show).right(OrgOwner)
        .post("/org/{org}/settings/hooks/{hook}/deliveries/{delivery}/attempts", webhooks::delivery::redeliver)
            .right(OrgOwner).event(Event::HookRedeliver)

        // Pages: retention rules.
        .get("/user/settings/retention", retention::list).right(SignedIn)
        .get("/user/settings/retention/new", retention::create_form).right(SignedIn)
        .post("/user/settings/retention/new", retention::create).right(SignedIn).event(Event::RetentionCreate)
        .get("/user/settings/retention/preview", retention::preview::show).right(SignedIn)
        .get("/user/settings/retention/{rule}", retention::show).right(SignedIn)
        .post("/user/settings/retention/{rule}", retention::update).right(SignedIn).event(Event::RetentionUpdate)
        .post("/user/settings/retention/{rule}/delete", retention::delete).right(SignedIn)
            .event(Event::RetentionDelete)
        .get("/org/{org}/settings/retention", retention::list).right(OrgOwner)
        .get("/org/{org}/settings/retention/new", retention::create_form).right(OrgOwner)
        .post("/org/{org}/settings/retention/new", retention::create).right(OrgOwner).event(Event::RetentionCreate)
        .get("/org/{org}/settings/retention/preview", retention::preview::show).right(OrgOwner)
        .get("/org/{org}/settings/retention/{rule}", retention::show).right(OrgOwner)
        .post("/org/{org}/settings/retention/{rule}", retention::update).right(OrgOwner)
            .event(Event::RetentionUpdate)
        .post("/org/{org}/settings/retention/{rule}/delete", retention::delete).right(OrgOwner)
            .event(Event::RetentionDelete)

        // Pages: administration.
        .get("/-/admin", admin::overview::page).right(SiteAdmin).scope(read(Admin))
        .get("/-/admin/users", admin::users::list).right(SiteAdmin).scope(read(Admin))
        .get("/-/admin/users/new", admin::users::new).right(SiteAdmin).scope(read(Admin))
        .post("/-/admin/users/new", admin::users::create).right(SiteAdmin).scope(write(Admin))
            .event(Event::UserCreate)
        .get("/-/admin/users/{user}", admin::user::page).right(SiteAdmin).scope(read(Admin))
        .post("/-/admin/users/{user}/lock", admin::user::lock).right(SiteAdmin).scope(write(Admin))
            .event(Event::UserLock)
        .post("/-/admin/users/{user}/unlock", admin::user::unlock).right(SiteAdmin).scope(write(Admin))
            .event(Event::UserUnlock)
        .post("/-/admin/users/{user}/approve", admin::user::approve).right(SiteAdmin).scope(write(Admin))
            .event(Event::UserApprove)
        .post("/-/admin/users/{user}/invitation", admin::user::invite).right(SiteAdmin).scope(write(Admin))
            .event(Event::InvitationSend)
        .post("/-/admin/users/{user}/invitation/withdraw", admin::user::withdraw_invitation).right(SiteAdmin)
            .scope(write(Admin)).event(Event::InvitationWithdraw)
        .get("/-/admin/users/{user}/edit", admin::user::edit_form).right(SiteAdmin).scope(read(Admin))
        .post("/-/admin/users/{user}/edit", admin::user::edit).right(SiteAdmin).scope(write(Admin))
            .event(Event::UserUpdate)
        .get("/-/admin/users/{user}/password", admin::user::password_form).right(SiteAdmin).scope(read(Admin))
        .post("/-/admin/users/{user}/password", admin::user::set_password).right(SiteAdmin).scope(write(Admin))
            .event(Event::UserUpdate)
        .get("/-/admin/users/{user}/role", admin::user::role_form).right(SiteAdmin).scope(read(Admin))
        .post("/-/admin/users/{user}/role", admin::user::set_role).right(SiteAdmin).scope(write(Admin))
            .event(Event::UserUpdate)
        .get("/-/admin/users/{user}/second-factor", admin::user::factor_form).right(SiteAdmin).scope(read(Admin))
        .post("/-/admin/users/{user}/second-factor", admin::user::reset_factor).right(SiteAdmin).scope(write(Admin))
            .event(Event::TwoFactorRemove)
        .get("/-/admin/users/{user}/rename", admin::user::rename_form).right(SiteAdmin).scope(read(Admin))
        .post("/-/admin/users/{user}/rename", admin::user::rename).right(SiteAdmin).scope(write(Admin))
            .event(Event::UserRename)
        .get("/-/admin/users/{user}/delete", admin::user::delete_form).right(SiteAdmin).scope(read(Admin))
        .post("/-/admin/users/{user}/delete", admin::user::delete).right(SiteAdmin).scope(write(Admin))
            .event(Event::UserDelete)
        .get("/-/admin/users/{user}/quota", admin::quota::of_user).right(SiteAdmin).scope(read(Admin))
        .post("/-/admin/users/{user}/quota", admin::quota::set_for_user).right(SiteAdmin).scope(write(Admin))
            .event(Event::OwnerQuota)
        .get("/-/admin/orgs", admin::owners::orgs).right(SiteAdmin).scope(read(Admin))
        .get("/-/admin/orgs/{org}/quota", admin::quota::of_org).right(SiteAdmin).scope(read(Admin))
        .post("/-/admin/orgs/{org}/quota", admin::quota::set_for_org).right(SiteAdmin).scope(write(Admin))
            .event(Event::OwnerQuota)
        .get("/-/admin/packages", admin::owners::packages).right(SiteAdmin).scope(read(Admin))
        .get("/-/admin/sign-in", admin::providers::list).right(SiteAdmin).scope(read(Admin))
        .get("/-/admin/sign-in/{provider}", admin::providers::test).right(SiteAdmin).scope(read(Admin))
        .get("/-/admin/audit", admin::audit::list).right(SiteAdmin).scope(read(Admin))
        .get("/-/admin/audit/export", admin::audit::export).right(SiteAdmin).scope(read(Admin))
        .get("/-/admin/mail", admin::mail::page).right(SiteAdmin).scope(read(Admin))
        .post("/-/admin/mail/dismiss", admin::mail::dismiss).right(SiteAdmin).scope(write(Admin))
            .event(Event::MailDismiss)
        .get("/-/admin/system", admin::system::page).right(SiteAdmin).scope(read(Admin))
        .post("/-/admin/system/tasks/{task}", admin::system::start).right(SiteAdmin).scope(write(Admin))
            .event(Event::TaskStart)

        // Pages: uploading and deleting.
        .get("/{owner}/-/upload", upload::page).right(Writer).scope(write(Package))
        .post("/{owner}/-/upload", upload::form::submit).right(Writer).scope(write(Package)).event(Event::FilePublish)
        .put("/{owner}/-/upload/{name}/{version}/{file}", upload::raw::put).right(Writer).scope(write(Package))
            .takes_rest().event(Event::FilePublish)
        .get("/{owner}/-/packages/settings/generic/{name}", package_settings::show).right(Writer)
            .scope(write(Package))
        .post("/{owner}/-/packages/settings/generic/{name}", package_settings::update).right(Writer)
            .scope(write(Package)).event(Event::PackageUpdate)
        .post("/{owner}/-/packages/generic/{name}/{version}/publish", version_edit::publish).right(Writer)
            .scope(write(Package)).event(Event::VersionPublish)
        .post("/{owner}/-/packages/generic/{name}/{version}/seal", version_edit::seal).right(Writer)
            .scope(write(Package)).event(Event::VersionSeal)
        .post("/{owner}/-/packages/generic/{name}/{version}/edit", version_edit::edit).right(Writer)
            .scope(write(Package)).event(Event::VersionUpdate)
        .post("/{owner}/-/packages/settings/generic/{name}/delete", package_settings::delete).right(Writer)
            .scope(write(Package)).event(Event::PackageDelete)
        .post("/{owner}/-/packages/settings/generic/{name}/visibility", package_visibility::set).right(PackageAdmin)
            .scope(write(Package)).event(Event::PackageVisibility)
        .get("/{owner}/-/packages/settings/generic/{name}/channels", channels::show).right(Writer)
            .scope(write(Package))
        .post("/{owner}/-/packages/settings/generic/{name}/channels", channels::set).right(Writer)
            .scope(write(Package)).event(Event::ChannelSet)
        .post("/{owner}/-/packages/settings/generic/{name}/channels/delete", channels::delete).right(Writer)
            .scope(write(Package)).event(Event::ChannelDelete)
        .get("/{owner}/-/packages/generic/{name}/{version}/copy", copies::form).right(Writer).scope(write(Package))
        .post("/{owner}/-/packages/generic/{name}/{version}/copy", copies::copy).right(Writer).scope(write(Package))
            .event(Event::VersionCopy)
        .post("/{owner}/-/packages/generic/{name}/{version}/move", copies::relocate).right(Writer)
            .scope(write(Package)).event(Event::VersionMove)
        .get("/{owner}/-/packages/generic/{name}/{version}/delete", delete::version_form).right(Writer)
            .scope(write(Package))
        .post("/{owner}/-/packages/generic/{name}/{version}/delete", delete::delete_version).right(Writer)
            .scope(write(Package)).event(Event::VersionDelete)
        .get("/{owner}/-/packages/generic/{name}/{version}/files/{id}/delete", delete::file_form).right(Writer)
            .scope(write(Package))
        .post("/{owner}/-/packages/generic/{name}/{version}/files/{id}/delete", delete::delete_file).right(Writer)
            .scope(write(Package)).event(Event::FileDelete)
        .get("/{owner}/-/trash", trash::list).right(Writer).scope(write(Package))
        .post("/{owner}/-/trash/{entry}/restore", trash::restore).right(Writer).scope(write(Package))
            .event(Event::TrashRestore)
        .get("/{owner}/-/trash/{entry}/delete", trash::delete_form).right(OrgOwner).scope(write(Package))
        .post("/{owner}/-/trash/{entry}/delete", trash::delete).right(OrgOwner).scope(write(Package))
            .event(Event::TrashPurge)

        // Files that programs ask every site for.
        .get("/robots.txt", site_files::robots).right(Everybody)
        .get("/favicon.ico", site_files::favicon).right(Everybody)
        .get("/.well-known/security.txt", site_files::security).right(Everybody)
        .get("/swagger.v1.json", site_files::swagger).right(Everybody)

        // Pages: browsing.
        .get("/", home::home).right(Everybody)
        .get("/explore", explore::start).right(Everybody)
        .get("/explore/owners", explore::owners).right(Everybody)
        .get("/explore/packages", explore::packages).right(Everybody)
        .get("/explore/packages.atom", feeds::of_search).right(Everybody).credentials(Feed).scope(read(Package))

        // Pages: the manual.
        .get("/docs", manual::page).right(Everybody)
        .get("/docs/{page:.*}", manual::page).right(Everybody)

        // Pages of an owner. They come last, because a name could be any first segment.
        .get("/{owner}", packages::of_owner).right(Reader)
        .get("/{owner}/-/packages", packages::of_owner).right(Reader)
        .get("/{owner}/-/packages.atom", feeds::of_owner).right(Reader).credentials(Feed).scope(read(Package))
        .get("/{owner}/-/packages/compare/generic/{name}", compare::page).right(Reader)
        .get("/{owner}/-/packages/generic/{name}", packages::newest).right(Reader)
        .get("/{owner}/-/packages/generic/{name}/versions", versions::list).right(Reader)
        .get("/{owner}/-/packages/generic/{name}/versions.atom", feeds::of_package).right(Reader).credentials(Feed)
            .scope(read(Package))
        .get("/{owner}/-/packages/generic/{name}/{version}", version::page).right(Reader)
        .get("/{owner}/-/packages/generic/{name}/{version}/download", download::right_file).right(Reader)
            .credentials(SessionOrAny).scope(read(Package))
        .get("/{owner}/-/packages/generic/{name}/{version}/archive.tar.gz", download::tar_gz).right(Reader)
            .credentials(SessionOrAny).scope(read(Package))
        .get("/{owner}/-/packages/generic/{name}/{version}/archive.zip", download::zip).right(Reader)
            .credentials(SessionOrAny).scope(read(Package))
        .get("/{owner}/-/packages/generic/{name}/{version}/files/{id}", download::by_id).right(Reader)
            .credentials(SessionOrAny).scope(read(Package))
        .get("/{owner}/-/packages/generic/{name}/{version}/files/{id}/{file}", download::file).right(Reader)
            .credentials(SessionOrAny).scope(read(Package)).cross_origin()
}
