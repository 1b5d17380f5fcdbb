//! The audit log records every change: who made it, with which credential, from where, and the details. A record is
//! written in the change's own transaction.

pub mod log;
pub mod sets;

use super::caller::Caller;
use crate::db::schema::audit;
use crate::domain::clock::Timestamp;
use crate::domain::ids::OwnerId;
use crate::domain::names::OwnerName;
use crate::error::Result;
use diesel::prelude::*;
use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    FilePublish,
    FileDelete,
    VersionDelete,
    VersionPublish,
    VersionSeal,
    VersionUpdate,
    PackageDelete,
    VersionCopy,
    VersionMove,
    ChannelSet,
    ChannelDelete,
    PackageUpdate,
    PackageVisibility,
    TrashRestore,
    TrashPurge,
    TrashEmpty,
    UserCreate,
    UserRegister,
    UserApprove,
    UserUpdate,
    UserPassword,
    PasswordResetRequest,
    PasswordReset,
    EmailConfirm,
    InvitationSend,
    InvitationWithdraw,
    InvitationAccept,
    UserLock,
    UserUnlock,
    UserRename,
    UserDelete,
    TwoFactorEnroll,
    TwoFactorRemove,
    RecoveryCodes,
    IdentityLink,
    IdentityUnlink,
    PasskeyAdd,
    PasskeyRename,
    PasskeyRemove,
    PasskeyRefuse,
    SessionBegin,
    SessionEnd,
    SessionEndAll,
    TokenCreate,
    TokenRevoke,
    OrgCreate,
    OrgUpdate,
    OrgRename,
    OrgDelete,
    OrgMemberRemove,
    TeamCreate,
    TeamUpdate,
    TeamDelete,
    MemberAdd,
    MemberRemove,
    RobotCreate,
    RobotUpdate,
    RobotDelete,
    PublisherCreate,
    PublisherUpdate,
    PublisherDelete,
    OwnerQuota,
    GrantCreate,
    GrantUpdate,
    GrantDelete,
    ProtectionCreate,
    ProtectionUpdate,
    ProtectionDelete,
    HookCreate,
    HookUpdate,
    HookDelete,
    HookTest,
    HookRedeliver,
    RetentionCreate,
    RetentionUpdate,
    RetentionDelete,
    InstanceRestore,
    MailDismiss,
    TaskStart,
}

impl Event {
    /// The event's stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FilePublish => "file.publish",
            Self::FileDelete => "file.delete",
            Self::VersionDelete => "version.delete",
            Self::VersionPublish => "version.publish",
            Self::VersionSeal => "version.seal",
            Self::VersionUpdate => "version.update",
            Self::PackageDelete => "package.delete",
            Self::VersionCopy => "version.copy",
            Self::VersionMove => "version.move",
            Self::ChannelSet => "channel.set",
            Self::ChannelDelete => "channel.delete",
            Self::PackageUpdate => "package.update",
            Self::PackageVisibility => "package.visibility",
            Self::TrashRestore => "trash.restore",
            Self::TrashPurge => "trash.purge",
            Self::TrashEmpty => "trash.empty",
            Self::UserCreate => "user.create",
            Self::UserRegister => "user.register",
            Self::UserApprove => "user.approve",
            Self::UserUpdate => "user.update",
            Self::UserPassword => "user.password",
            Self::PasswordResetRequest => "user.password.reset_request",
            Self::PasswordReset => "user.password.reset",
            Self::EmailConfirm => "user.email.confirm",
            Self::InvitationSend => "user.invitation.send",
            Self::InvitationWithdraw => "user.invitation.withdraw",
            Self::InvitationAccept => "user.invitation.accept",
            Self::UserLock => "user.lock",
            Self::UserUnlock => "user.unlock",
            Self::UserRename => "user.rename",
            Self::UserDelete => "user.delete",
            Self::TwoFactorEnroll => "user.two_factor.enroll",
            Self::TwoFactorRemove => "user.two_factor.remove",
            Self::RecoveryCodes => "user.two_factor.recovery_codes",
            Self::IdentityLink => "user.identity.link",
            Self::IdentityUnlink => "user.identity.unlink",
            Self::PasskeyAdd => "user.passkey.add",
            Self::PasskeyRename => "user.passkey.rename",
            Self::PasskeyRemove => "user.passkey.remove",
            Self::PasskeyRefuse => "user.passkey.refuse",
            Self::SessionBegin => "session.begin",
            Self::SessionEnd => "session.end",
            Self::SessionEndAll => "session.end_all",
            Self::TokenCreate => "token.create",
            Self::TokenRevoke => "token.revoke",
            Self::OrgCreate => "org.create",
            Self::OrgUpdate => "org.update",
            Self::OrgRename => "org.rename",
            Self::OrgDelete => "org.delete",
            Self::OrgMemberRemove => "org.member.remove",
            Self::TeamCreate => "team.create",
            Self::TeamUpdate => "team.update",
            Self::TeamDelete => "team.delete",
            Self::MemberAdd => "team.member.add",
            Self::MemberRemove => "team.member.remove",
            Self::RobotCreate => "robot.create",
            Self::RobotUpdate => "robot.update",
            Self::RobotDelete => "robot.delete",
            Self::PublisherCreate => "publisher.create",
            Self::PublisherUpdate => "publisher.update",
            Self::PublisherDelete => "publisher.delete",
            Self::OwnerQuota => "owner.quota",
            Self::GrantCreate => "grant.create",
            Self::GrantUpdate => "grant.update",
            Self::GrantDelete => "grant.delete",
            Self::ProtectionCreate => "protection.create",
            Self::ProtectionUpdate => "protection.update",
            Self::ProtectionDelete => "protection.delete",
            Self::HookCreate => "hook.create",
            Self::HookUpdate => "hook.update",
            Self::HookDelete => "hook.delete",
            Self::HookTest => "hook.test",
            Self::HookRedeliver => "hook.redeliver",
            Self::RetentionCreate => "retention.create",
            Self::RetentionUpdate => "retention.update",
            Self::RetentionDelete => "retention.delete",
            Self::InstanceRestore => "instance.restore",
            Self::MailDismiss => "mail.dismiss",
            Self::TaskStart => "task.start",
        }
    }
}

/// The owner that an event concerns, and the thing of that owner, in the words people use for it.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    pub owner: Option<(OwnerId, &'a OwnerName)>,
    pub text: String,
    pub detail: Value,
}

/// Writes one record.
///
/// # Errors
/// Database errors.
pub fn record(
    conn: &mut PgConnection,
    caller: &Caller,
    event: Event,
    subject: &Subject<'_>,
    now: Timestamp,
) -> Result<()> {
    let (owner_id, owner_name) = subject.owner.unzip();
    diesel::insert_into(audit::table)
        .values((
            audit::at.eq(now),
            audit::actor_id.eq(caller.user().map(|user| user.id)),
            audit::actor_name.eq(caller.user().map_or("", |user| user.name.as_str())),
            audit::credential.eq(caller.credential()),
            audit::token_id.eq(caller.token()),
            audit::address.eq(caller.address().map(|address| address.to_string())),
            audit::event.eq(event.as_str()),
            audit::owner_id.eq(owner_id),
            audit::owner_name.eq(owner_name),
            audit::subject.eq(&subject.text),
            audit::detail.eq(&subject.detail),
            audit::administrator_id.eq(caller.administrator().map(|user| user.id)),
            audit::administrator_name.eq(caller.administrator().map(|user| user.name.as_str())),
            audit::token_creator.eq(caller.token_creator()),
        ))
        .execute(conn)?;
    Ok(())
}

/// Writes one record about an owner itself.
///
/// # Errors
/// The database's.
pub(in crate::registry) fn record_owner(
    conn: &mut PgConnection,
    caller: &Caller,
    event: Event,
    (id, name): (OwnerId, &OwnerName),
    detail: Value,
    now: Timestamp,
) -> Result<()> {
    let subject = Subject { owner: Some((id, name)), text: name.to_string(), detail };
    record(conn, caller, event, &subject, now)
}
